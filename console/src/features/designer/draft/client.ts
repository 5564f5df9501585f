import { answerOf, api } from "~/api/client"
import { ApiError, isStatus, Offline } from "~/api/problem"
import { spotsIn } from "../tree/walk"
import { type Anchored, anchored, names, resolved, StepGone } from "./anchor"
import { parseDigits } from "./digits"
import { predicted } from "./predict"
import { movedLine, patched } from "./text"
import type {
  Changes,
  Draft,
  DraftEdit,
  DraftFinding,
  Editor,
  EditOutcome,
  FlowOutline,
  Notice,
  Now,
  TextEdit,
  UnreadablePlace,
  Writer,
} from "./types"

const RETRY_MS = [500, 1_000, 2_000, 5_000, 10_000]
const FINDINGS_MS = 120
/** So many undos are foreseen; the server has more. */
const MOST_STEPS = 100

/** What somebody else made of the same places, or who writes the flow: edits wait for a decision. */
export type Refusal = {
  error: ApiError
  kind: "stale" | "held"
  writer: Writer | null
  /** What came since, of which the same places are; null where that is not known any more. */
  since: { label: string; flows: string[]; at: string }[] | null
}

/** All that is known of a draft; edits that are under way are in `flows` already. */
export type DraftState = {
  integration: string
  base: Draft["base"]
  /** The component set that is pinned, in the place of the base's own components. */
  components: Draft["components"]
  revision: number
  text: string
  flows: readonly FlowOutline[]
  unreadable: UnreadablePlace | null
  findings: DraftFinding[]
  findingsRevision: number
  editors: Editor[]
  writers: Writer[]
  /** Edits that the server does not have yet. */
  pending: number
  online: boolean
  refusal: Refusal | null
  /** Somebody deleted it. */
  gone: boolean
  /** Who made the last edit that came from elsewhere. */
  changedBy: string
}

type Waiting = { token: string; resolve: (outcome: EditOutcome) => void }
type Edit = Waiting & { kind: "edit"; group: string; edits: Anchored[]; sent: Sent | null }
type TextChange = Waiting & { kind: "text"; group: string; make: (now: Now) => TextEdit[] }
type Back = Waiting & { kind: "undo" | "redo" }
type Item = Edit | TextChange | Back | { kind: "sync" }
/** What was sent for a revision, and may have been made without an answer. */
type Sent = { revision: number; ops: DraftEdit[] }
/** An edit that was made here, or several of a group, with the flows before and after it. */
type Step = { group: string; before: readonly FlowOutline[]; after: readonly FlowOutline[] }
type Kept = { token: string; group: string; edits: Anchored[]; sent: Sent | null }

/** The requests of a draft. */
export interface Server {
  load(): Promise<Draft>
  edit(revision: number, ops: DraftEdit[], group: string, token: string): Promise<Changes>
  again(kind: "undo" | "redo", revision: number, token: string): Promise<Changes>
  changes(since: number): Promise<Changes>
  findings(): Promise<{ revision: number; items: DraftFinding[] }>
  take(flow: string, over: boolean): Promise<unknown>
}

/** Where edits are kept until the server has them: over a reload, or the end of the session. */
export interface Store {
  read(): Kept[]
  write(kept: Kept[]): void
}

/**
 * A draft that is open in this window: one request at a time, edits in the order in which they were
 * made. They are seen at once, and kept until the server has them.
 */
export class DraftClient {
  private readonly listeners = new Set<() => void>()
  private readonly queue: Item[] = []
  private base: readonly FlowOutline[] = []
  private past: readonly Step[] = []
  private future: readonly Step[] = []
  private running = false
  private failures = 0
  private open = true
  private timer: ReturnType<typeof setTimeout> | undefined
  private linting: ReturnType<typeof setTimeout> | undefined
  state: DraftState

  constructor(
    draft: Draft,
    private readonly server: Server,
    private readonly store: Store,
  ) {
    this.base = draft.flows
    this.state = {
      integration: draft.integration,
      base: draft.base,
      components: draft.components,
      revision: draft.revision,
      text: draft.text,
      flows: draft.flows,
      unreadable: draft.unreadable,
      findings: draft.findings ?? [],
      findingsRevision: draft.findings === null ? 0 : draft.revision,
      editors: draft.editors,
      writers: draft.writers,
      pending: 0,
      online: true,
      refusal: null,
      gone: false,
      changedBy: "",
    }
  }

  /** Go on with what an earlier page of this tab has not sent, and look for findings. */
  start(): () => void {
    this.open = true
    const kept = this.store.read()
    if (this.queue.length === 0) {
      for (const each of kept) this.queue.push({ ...each, kind: "edit", resolve: () => undefined })
    }
    if (this.queue.length > 0) this.changed()
    void this.run()
    this.lintSoon()
    return () => {
      this.open = false
      clearTimeout(this.timer)
      clearTimeout(this.linting)
    }
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  snapshot = (): DraftState => this.state

  /** Edit by operations: they are about the steps that stand at their addresses now. */
  edit(edits: readonly DraftEdit[], group = ""): Promise<EditOutcome> {
    if (edits.length === 0) return Promise.resolve(this.nothing())
    const token = crypto.randomUUID()
    return new Promise((resolve) => {
      const held = anchored(this.state.flows, edits, token)
      this.queue.push({ kind: "edit", token, group, edits: held, sent: null, resolve })
      this.changed()
      this.keep()
      void this.run()
    })
  }

  /** Edit the text: what is to be replaced is asked for at its turn, of the text that is there then. */
  retype(make: (now: Now) => TextEdit[], group = ""): Promise<EditOutcome> {
    return this.put((resolve) => ({
      kind: "text",
      token: crypto.randomUUID(),
      group,
      make,
      resolve,
    }))
  }

  undo(kind: "undo" | "redo"): Promise<EditOutcome> {
    return this.put((resolve) => ({ kind, token: crypto.randomUUID(), resolve }))
  }

  /** Hear what the stream tells of the draft. */
  hear(notice: Notice): void {
    if (notice.revision === null) return this.set({ gone: true })
    const { editors, writers } = notice
    if (
      JSON.stringify([editors, writers]) !==
      JSON.stringify([this.state.editors, this.state.writers])
    ) {
      this.set({ editors, writers })
    }
    if (notice.components !== (this.state.components?.id ?? null)) void this.reload()
    else if (notice.revision > this.state.revision) this.sync()
  }

  /** Ask for what others did. */
  sync(): void {
    if (this.queue.some((each) => each.kind === "sync")) return
    this.queue.push({ kind: "sync" })
    void this.run()
  }

  /** Try again what could not be sent. */
  retry(): void {
    clearTimeout(this.timer)
    this.timer = undefined
    void this.run()
  }

  /** Go on from a version that was made of it. */
  published(base: NonNullable<DraftState["base"]>): void {
    this.set({ base })
  }

  /** Decide about edits that were refused: make them on top of what is there now, or drop them. */
  async decide(how: "again" | "take" | "drop"): Promise<void> {
    const { refusal } = this.state
    if (refusal === null) return
    const edits = this.queue.filter((each) => each.kind === "edit")
    if (how === "drop") {
      for (const each of edits) this.done(each, { made: false, error: refusal.error })
    } else {
      if (how === "take" && refusal.writer !== null)
        await this.server.take(refusal.writer.flow, true)
      for (const each of edits) each.sent = null
    }
    this.set({ refusal: null })
    this.sync()
  }

  private put(make: (resolve: Waiting["resolve"]) => Item): Promise<EditOutcome> {
    return new Promise((resolve) => {
      this.queue.push(make(resolve))
      this.changed()
      void this.run()
    })
  }

  private nothing(): EditOutcome {
    return { made: true, revision: this.state.revision, keys: new Map() }
  }

  private async run(): Promise<void> {
    if (this.running || !this.open || this.timer !== undefined) return
    this.running = true
    try {
      for (let item = this.next(); item !== undefined; item = this.next()) {
        if (this.state.gone) break
        try {
          await this.send(item)
          this.failures = 0
          if (!this.state.online) this.set({ online: true })
        } catch (error) {
          if (!this.take(item, error)) break
        }
      }
    } finally {
      this.running = false
    }
  }

  /** What others did comes first: it may be what an edit waits for. */
  private next(): Item | undefined {
    const sync = this.queue.find((each) => each.kind === "sync")
    return sync ?? (this.state.refusal === null ? this.queue[0] : undefined)
  }

  private async send(item: Item): Promise<void> {
    const { revision, text } = this.state
    switch (item.kind) {
      case "sync": {
        this.drop(item) // what happens while it is under way needs another one
        if (this.queue[0]?.kind === "edit" && this.queue[0].sent !== null) {
          return // its answer has it all
        }
        return this.integrate(await this.server.changes(revision), null)
      }
      case "undo":
      case "redo":
        return this.integrate(await this.server.again(item.kind, revision, item.token), item)
      case "text": {
        const ops = item.make({ text, revision })
        if (ops.length === 0) return this.done(item, this.nothing())
        return this.integrate(await this.server.edit(revision, ops, item.group, item.token), item)
      }
      case "edit": {
        if (item.sent === null) {
          item.sent = { revision, ops: resolved(this.base, item.edits, item.token).ops }
          this.keep()
        }
        const { sent } = item
        const changes = await this.server.edit(sent.revision, sent.ops, item.group, item.token)
        if (sent.revision !== revision) {
          // It was sent by an earlier page, for a text that this one never had.
          this.reset(await this.server.load())
          return this.done(item, this.nothing())
        }
        return this.integrate(changes, item)
      }
    }
  }

  /** Return whether to go on with the next one after an error. */
  private take(item: Item, error: unknown): boolean {
    if (!this.open) return false
    if (error instanceof Offline || (error instanceof ApiError && error.status >= 500)) {
      this.set({ online: false })
      if (item.kind === "sync") this.queue.unshift(item)
      const wait = RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)]
      this.timer = setTimeout(() => this.retry(), wait)
      return false
    }
    if (isStatus(error, 401)) return false // the page is left for the sign-in; it is kept until then
    if (isStatus(error, 404)) {
      this.set({ gone: true })
      return false
    }
    if (item.kind === "sync") {
      void this.reload()
      return false
    }
    const kind = error instanceof ApiError ? error.problem.kind : ""
    if (isStatus(error, 409) && (kind === "StaleEdit" || kind === "FlowHeld")) {
      const told = (error.problem.draft ?? {}) as { writer?: Writer; since?: Refusal["since"] }
      const held = kind === "FlowHeld"
      if (item.kind === "text") {
        this.done(item, { made: false, error }) // who typed it has it still
      } else if (item.kind === "edit") {
        const writer = told.writer ?? null
        item.sent = null
        this.set({
          refusal: { error, kind: held ? "held" : "stale", writer, since: told.since ?? null },
        })
      } else {
        this.done(item, { made: false, error })
      }
      this.sync()
      return true
    }
    // What is about a step that it would have made finds no step, and is refused too; all else goes on.
    this.done(item, {
      made: false,
      error: error instanceof Error ? error : new Error(String(error)),
    })
    return true
  }

  private done(item: Exclude<Item, { kind: "sync" }>, outcome: EditOutcome): void {
    this.drop(item)
    this.keep()
    this.changed()
    item.resolve(outcome)
  }

  private drop(item: Item): void {
    const at = this.queue.indexOf(item)
    if (at !== -1) this.queue.splice(at, 1)
  }

  private integrate(changes: Changes, item: Exclude<Item, { kind: "sync" }> | null): void {
    const before = this.base
    if (item !== null || changes.revision !== this.state.revision) {
      this.base = merged(before, changes)
      this.remember(item, before, this.base)
    }
    const keys = new Map<string, string>()
    if (item?.kind === "edit" && item.sent !== null) {
      for (const [made, key] of keysOf(before, this.base, item.sent.ops, item.token)) {
        keys.set(made, key)
      }
      for (const each of this.queue) {
        if (each.kind === "edit" && each !== item) each.edits = renamed(each.edits, keys)
      }
    }
    const moved = new Map(changes.moved.map((each) => [each.node, each.path]))
    const findings = this.state.findings.filter(
      (each) => each.node === null || moved.get(each.node) !== null,
    )
    this.set({
      revision: changes.revision,
      text: patched(this.state.text, changes.patches),
      unreadable: changes.unreadable,
      findings,
    })
    if (item !== null) this.done(item, { made: true, revision: changes.revision, keys })
    else this.changed()
    this.lintSoon()
  }

  /** Note what undo and redo are going to bring back; of what others did, that is not known. */
  private remember(
    item: Exclude<Item, { kind: "sync" }> | null,
    before: readonly FlowOutline[],
    after: readonly FlowOutline[],
  ): void {
    const undone = this.past.at(-1)
    const redone = this.future.at(-1)
    if (item?.kind === "undo" && undone?.after === before) {
      const past = this.past.slice(0, -1)
      const below = past.at(-1)
      this.past = below?.after === undone.before ? [...past.slice(0, -1), { ...below, after }] : []
      this.future = [...this.future, { ...undone, before: after, after: before }]
    } else if (item?.kind === "redo" && redone?.before === before) {
      const future = this.future.slice(0, -1)
      const next = future.at(-1)
      this.future =
        next?.before === redone.after ? [...future.slice(0, -1), { ...next, before: after }] : []
      this.past = [...this.past, { ...redone, after }]
    } else if (item?.kind === "edit" || item?.kind === "text") {
      this.past = followed(this.past, { group: item.group, before, after })
      this.future = []
    } else {
      this.past = []
      this.future = []
    }
  }

  /** Read it anew: what waits is made on top of that. */
  async reload(): Promise<void> {
    try {
      this.reset(await this.server.load())
    } catch (error) {
      if (isStatus(error, 404)) this.set({ gone: true })
      else this.timer ??= setTimeout(() => (this.sync(), this.retry()), RETRY_MS[2])
      return
    }
    void this.run()
  }

  private reset(draft: Draft): void {
    this.base = draft.flows
    this.past = []
    this.future = []
    const { base, components, revision, text, unreadable, editors, writers } = draft
    this.set({ base, components, revision, text, unreadable, editors, writers })
    this.changed()
    this.lintSoon()
  }

  /** Lay the edits that wait over what the server has. */
  private changed(): void {
    let { base: flows, past, future } = this
    for (const each of this.queue) {
      const before = flows
      if (each.kind === "edit") {
        try {
          flows = resolved(flows, each.edits, each.token).flows
        } catch (error) {
          if (!(error instanceof StepGone)) throw error
        }
        past = followed(past, { group: each.group, before, after: flows })
        future = []
      } else if (each.kind === "text") {
        past = [] // its flows are the server's to tell
        future = []
      } else if (each.kind === "undo") {
        const step = past.at(-1)
        if (step?.after !== before) continue
        flows = step.before
        past = past.slice(0, -1)
        future = [...future, step]
      } else if (each.kind === "redo") {
        const step = future.at(-1)
        if (step?.before !== before) continue
        flows = step.after
        future = future.slice(0, -1)
        past = [...past, step]
      }
    }
    const pending = this.queue.filter((each) => each.kind !== "sync").length
    this.set({ flows, pending })
  }

  private keep(): void {
    this.store.write(
      this.queue.flatMap((each) =>
        each.kind === "edit"
          ? [{ token: each.token, group: each.group, edits: each.edits, sent: each.sent }]
          : [],
      ),
    )
  }

  private lintSoon(): void {
    if (this.linting !== undefined) return
    this.linting = setTimeout(() => {
      void this.lint()
    }, FINDINGS_MS)
  }

  private async lint(): Promise<void> {
    const { revision } = this.state
    try {
      const found = await this.server.findings()
      if (this.open && found.revision >= this.state.findingsRevision) {
        this.set({ findings: found.items, findingsRevision: found.revision })
      }
    } catch {
      // They stay as they were; the next edit asks again.
    }
    this.linting = undefined
    if (this.open && this.state.revision !== revision) this.lintSoon()
  }

  private set(part: Partial<DraftState>): void {
    this.state = { ...this.state, ...part }
    for (const each of this.listeners) each()
  }
}

/** Return steps with another one, which is one with the last where both are of a group. */
function followed(past: readonly Step[], step: Step): readonly Step[] {
  const last = past.at(-1)
  if (last?.after !== step.before) return [step]
  if (step.group === "" || last.group !== step.group) return [...past, step].slice(-MOST_STEPS)
  return [...past.slice(0, -1), { ...last, after: step.after }]
}

/** Return flows with the changed ones in the place of those of their names, in the order of the text. */
export function merged(before: readonly FlowOutline[], changes: Changes): FlowOutline[] {
  const changed = new Set([...changes.flows.map((each) => each.name), ...changes.gone])
  const rest = before
    .filter((each) => !changed.has(each.name))
    .map((each) => shifted(each, movedLine(each.place.line, changes.patches) - each.place.line))
  return [...rest, ...changes.flows].sort((one, other) => one.place.line - other.place.line)
}

function shifted(flow: FlowOutline, by: number): FlowOutline {
  if (by === 0) return flow
  const place = <T extends { line: number; end_line: number }>(at: T): T => ({
    ...at,
    line: at.line + by,
    end_line: at.end_line + by,
  })
  const nodes = (list: FlowOutline["steps"]): FlowOutline["steps"] =>
    list.map((node) => ({
      ...node,
      place: place(node.place),
      blocks: node.blocks.map((block) => ({
        ...block,
        ...(block.place == null ? {} : { place: place(block.place) }),
        nodes: nodes(block.nodes),
      })),
    }))
  return { ...flow, place: place(flow.place), steps: nodes(flow.steps) }
}

/** Pair the keys that new steps were foreseen with, with those that the server gave them. */
function keysOf(
  before: readonly FlowOutline[],
  after: readonly FlowOutline[],
  ops: readonly DraftEdit[],
  token: string,
): [string, string][] {
  const name = names(token)
  let foreseen = before
  for (const each of ops) foreseen = predicted(foreseen, each, name)
  const known = new Set<string>()
  for (const flow of before) for (const { node } of spotsIn(flow)) known.add(node.key ?? "")
  const fresh = new Map<string, string>()
  for (const flow of after) {
    for (const { node } of spotsIn(flow)) {
      if (node.key != null && !known.has(node.key)) fresh.set(JSON.stringify(node.path), node.key)
    }
  }
  const found: [string, string][] = []
  for (const flow of foreseen) {
    for (const { node } of spotsIn(flow)) {
      const key = fresh.get(JSON.stringify(node.path))
      if (key !== undefined && node.key?.startsWith(token) === true) found.push([node.key, key])
    }
  }
  return found
}

function renamed(edits: Anchored[], keys: ReadonlyMap<string, string>): Anchored[] {
  if (keys.size === 0) return edits
  return JSON.parse(JSON.stringify(edits), (_, value: unknown) => {
    if (typeof value !== "string") return value
    const key = keys.get(value.replace(/^@/, ""))
    if (key === undefined) return value
    return value.startsWith("@") ? `@${key}` : key
  }) as Anchored[]
}

/** The requests of a draft, to the API. */
export function serverOf(draft: string): Server {
  const path = { draft }
  const text = { parseAs: "text" as const }
  const exact = async <T>(call: Promise<{ data?: unknown }>) =>
    parseDigits((await answerOf(call)) as string) as T
  const ifMatch = (revision: number) => ({ "if-match": `"${revision}"` })
  return {
    load: () => exact<Draft>(api.GET("/api/drafts/{draft}", { params: { path }, ...text })),
    edit: (revision, ops, group, token) =>
      exact<Changes>(
        api.POST("/api/drafts/{draft}/edits", {
          params: { path, header: ifMatch(revision) },
          body: { ops, group, token },
          ...text,
        }),
      ),
    again: (kind, revision, token) => {
      const headers = { "Idempotency-Key": token }
      const params = { path, header: ifMatch(revision) }
      return exact<Changes>(
        kind === "undo"
          ? api.POST("/api/drafts/{draft}/undo", { params, headers, ...text })
          : api.POST("/api/drafts/{draft}/redo", { params, headers, ...text }),
      )
    },
    changes: (since) =>
      exact<Changes>(
        api.GET("/api/drafts/{draft}/changes", { params: { path, query: { since } }, ...text }),
      ),
    findings: () =>
      exact<{ revision: number; items: DraftFinding[] }>(
        api.GET("/api/drafts/{draft}/findings", { params: { path }, ...text }),
      ),
    take: (flow, over) =>
      answerOf(
        api.POST("/api/drafts/{draft}/writers", {
          params: { path },
          body: { flow, take_over: over },
        }),
      ),
  }
}
