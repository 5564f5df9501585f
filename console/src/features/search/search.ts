import { answerOf, api, type Schemas } from "~/api/client"
import type { Summary } from "~/api/execution"
import type { Place } from "~/features/execution/detail"
import { type Filter, queryOf } from "~/features/executions/filter"
import { withChanges } from "~/features/executions/list"
import type { Change } from "~/api/live"

type Hit = Schemas["SearchHit"]
type Said = Hit | Schemas["SearchProgress"] | Schemas["SearchEnd"]

/** The shortest text that payloads are searched for. */
export const SHORTEST = 3
const REFERENCES = 20
const ENOUGH = 100

/** An execution that has a text: by its record or id, or somewhere in its payload. */
export type Found = {
  execution: Summary
  part: Hit["part"] | "reference"
  step: string | null
  title: string | null
  excerpt: string
  text: string
}

/** What a search has found by now; `reached` is the time down to which payloads were searched. */
export type Results = {
  found: readonly Found[]
  reached: string | null
  phase: "running" | "stopped" | "enough" | "done"
  error: unknown
}

/** Read lines of JSON as they come. */
export async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator {
  const reader = stream.getReader()
  const decoder = new TextDecoder()
  let rest = ""
  for (;;) {
    const { done, value } = await reader.read()
    rest += decoder.decode(value, { stream: !done })
    const lines = rest.split("\n")
    rest = lines.pop() ?? ""
    for (const each of lines) if (each !== "") yield JSON.parse(each)
    if (done) return
  }
}

/** Cut an excerpt around what was found, so that it stands near the beginning of its line. */
export function around({ excerpt, text }: Found, lead = 12): [string, string, string] {
  const at = excerpt.indexOf(text)
  if (at < 0) return [excerpt, "", ""]
  const before = excerpt.slice(0, at)
  const short = before.length > lead ? `…${before.slice(-lead)}` : before
  return [short, text, excerpt.slice(at + text.length)]
}

/** Return where in an execution's page a find is. */
export function placeOf({ part, step }: Found): Place {
  if (part === "event") return { step: "trigger" }
  if (part === "log") return { view: "logs" }
  if (step === null) return {}
  return { step, tab: part === "inputs" ? "input" : "output" }
}

/** One search: references first, which are indexed, then payloads, newest first, until it is stopped. */
export class Search {
  private shown: Results = { found: [], reached: null, phase: "stopped", error: null }
  private readonly listeners = new Set<() => void>()
  private under: AbortController | null = null
  private before: string | null = null
  private byReference = false
  private readonly now = Date.now()

  constructor(
    private readonly text: string,
    private readonly filter: Filter,
    private readonly payloads: boolean,
  ) {}

  readonly get = (): Results => this.shown

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** Begin, or go on where it was stopped. */
  go(): void {
    if (this.under !== null || this.shown.phase === "done") return
    this.under = new AbortController()
    this.show({ phase: "running", error: null })
    void this.run(this.under.signal)
  }

  stop(): void {
    this.under?.abort()
    this.under = null
    if (this.shown.phase === "running") this.show({ phase: "stopped" })
  }

  hear(changes: readonly Change[]): void {
    const rows = this.shown.found.map((each) => each.execution)
    const list = withChanges({ rows, next: null, fresh: [] }, changes)
    if (list.rows === rows) return
    this.show({
      found: this.shown.found.map((each, at) => ({
        ...each,
        execution: list.rows[at] ?? each.execution,
      })),
    })
  }

  private async run(signal: AbortSignal): Promise<void> {
    try {
      if (!this.byReference) await this.findReferences(signal)
      const phase = this.payloads && this.text.length >= SHORTEST ? await this.read(signal) : "done"
      if (!signal.aborted) this.show({ phase })
    } catch (error) {
      if (!signal.aborted) this.show({ phase: "stopped", error })
    }
    if (this.under?.signal === signal) this.under = null
  }

  private async findReferences(signal: AbortSignal): Promise<void> {
    const query = { ...queryOf(this.filter, this.now), q: this.text, limit: REFERENCES }
    const page = await answerOf(api.GET("/api/executions", { params: { query }, signal }))
    this.byReference = true
    this.add(
      page.items.map((execution) => {
        const excerpt = execution.key === this.text ? execution.key : execution.id
        const found = { step: null, title: null, excerpt, text: this.text }
        return { ...found, execution, part: "reference" }
      }),
    )
  }

  private async read(signal: AbortSignal): Promise<Results["phase"]> {
    for (let count = 0; count < ENOUGH;) {
      const query = {
        ...queryOf(this.filter, this.now),
        q: this.text,
        limit: ENOUGH - count,
        ...(this.before === null ? {} : { before: this.before }),
      }
      const call = api.GET("/api/search", { params: { query }, signal, parseAs: "stream" })
      const stream = (await answerOf(call)) as ReadableStream<Uint8Array> | null
      let next: string | null = this.before
      let ended = false
      if (stream !== null) {
        for await (const each of linesOf(stream)) {
          const said = each as Said
          if ("execution" in said) {
            count += 1
            this.add([said])
            continue
          }
          next = said.next
          if ("reached" in said) this.show({ reached: said.reached })
          else ended = true
          if (next !== null) this.before = next
        }
      }
      if (!ended) throw new Error("The search was cut off.")
      if (next === null) return "done"
    }
    const last = this.shown.found.at(-1)
    if (last !== undefined) this.show({ reached: last.execution.accepted_at })
    return "enough"
  }

  private add(more: readonly Found[]): void {
    const known = new Set(this.shown.found.map((each) => each.execution.id))
    const found = more.filter((each) => !known.has(each.execution.id))
    if (found.length > 0) this.show({ found: [...this.shown.found, ...found] })
  }

  private show(change: Partial<Results>): void {
    this.shown = { ...this.shown, ...change }
    for (const each of this.listeners) each()
  }
}

const MOST_SEARCHES = 4
const searches = new Map<string, Search>()

/** Return the search for a text, which may have begun before; without `payloads`, of references alone. */
export function searchOf(text: string, filter: Filter, payloads: boolean): Search {
  const key = JSON.stringify([text, filter, payloads])
  const known = searches.get(key)
  if (known !== undefined) return known
  const made = new Search(text, filter, payloads)
  searches.set(key, made)
  const oldest = searches.keys().next().value
  if (searches.size > MOST_SEARCHES && oldest !== undefined) searches.delete(oldest)
  return made
}

/** Forget what was searched for, as somebody else signs in. */
export function forgetSearches(): void {
  for (const each of searches.values()) each.stop()
  searches.clear()
}
