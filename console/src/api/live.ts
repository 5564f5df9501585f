import type { Schemas } from "./client"

type Summary = Schemas["ExecutionSummary"]

/** A draft that was edited, or that others have open now; `revision` is null where it is gone. */
export type DraftNotice = {
  draft: string
  revision: number | null
  changed_by: string
  /** The id of the component set that is pinned. */
  components: string | null
  editors: Schemas["EditorView"][]
  writers: Schemas["WriterView"][]
}

/** What happened to an execution. */
export type Change = Pick<
  Summary,
  "flow" | "instance" | "customer" | "state" | "attempt" | "reason"
> & { execution: string; at: string }

/** What the browser's one stream tells its tabs. `missed`: load anew, since something may have been lost. */
export type News =
  | { kind: "changes"; changes: Change[] }
  | { kind: "moved"; topics: string[] }
  | { kind: "draft"; notice: DraftNotice }
  | { kind: "missed" }
  | { kind: "online"; online: boolean }

/**
 * What tabs tell each other: news; that one leads now, and asks what each watches; what one watches;
 * whether the one that leads is there, and that it is.
 */
type Said =
  News | { kind: "asked" | "ping" | "pong" } | { kind: "watched"; tab: string; topics: string[] }

const TOPICS = ["executions", "instances", "connections", "bulks"]
const LOCK = "halflap-live"
const EVERY_MS = 250
const PING_MS = 3_000
const MOST_UNANSWERED = 3
const RETRY_MS = [500, 1_000, 2_000, 5_000, 10_000]

/** Keep only the last change of each execution. */
export function coalesce(changes: Iterable<Change>): Change[] {
  const last = new Map<string, Change>()
  for (const each of changes) {
    last.delete(each.execution)
    last.set(each.execution, each)
  }
  return [...last.values()]
}

/**
 * One event stream per browser: the tab that holds the lock reads it and tells the others, as HTTP/1.1
 * would hang the seventh. When that tab closes, or the browser freezes it, the next one takes the lock;
 * one that only falls silent loses it.
 *
 * Everybody hears of executions, instances, connections and bulks; what a tab watches beside them (the
 * steps of one execution, a draft) is asked for as long as it does.
 */
export class Live {
  private readonly tab = crypto.randomUUID()
  private readonly listeners = new Set<(news: News) => void>()
  private readonly watched = new Map<string, number>()
  private readonly byTab = new Map<string, string[]>()
  private channel: BroadcastChannel | undefined
  private over = new AbortController()
  private turn = new AbortController()
  private unanswered = 0
  private changes: Change[] = []
  private readonly moved = new Set<string>()
  private timer: number | undefined
  private source: EventSource | undefined
  private topics = ""
  private last: string | null = null
  private failures = 0
  private leads = false
  online = true

  constructor(private readonly pingMs = PING_MS) {}

  /** Take part until the function that is returned is called. */
  start(): () => void {
    this.over = new AbortController()
    this.channel = new BroadcastChannel(LOCK)
    this.channel.onmessage = (event: MessageEvent<Said>) => this.take(event.data)
    const { signal } = this.over
    window.addEventListener("offline", () => this.tell({ kind: "online", online: false }), {
      signal,
    })
    window.addEventListener("online", () => this.leads && this.open(), { signal })
    // A frozen page would go on holding the lock: one that is in the history, say.
    window.addEventListener("pagehide", () => this.leave(), { signal })
    window.addEventListener("pageshow", () => this.comeBack(), { signal })
    document.addEventListener("freeze", () => this.leave(), { signal })
    document.addEventListener("resume", () => this.comeBack(), { signal })
    const pinging = window.setInterval(() => this.ping(), this.pingMs)
    signal.addEventListener("abort", () => window.clearInterval(pinging))
    this.join()
    return () => this.stop()
  }

  listen(listener: (news: News) => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** Ask for a topic, such as `steps:exe_…`, until the function that is returned is called. */
  watch(topic: string): () => void {
    this.watched.set(topic, (this.watched.get(topic) ?? 0) + 1)
    this.sayWatched()
    return () => {
      const left = (this.watched.get(topic) ?? 1) - 1
      if (left > 0) this.watched.set(topic, left)
      else this.watched.delete(topic)
      this.sayWatched()
    }
  }

  private stop(): void {
    this.watched.clear()
    this.sayWatched()
    this.over.abort()
    this.leave()
    this.channel?.close()
  }

  /** Wait for the lock; or take it from the tab that has it. */
  private join(steal = false): void {
    this.turn.abort()
    const { signal } = (this.turn = new AbortController())
    const held = navigator.locks.request(LOCK, steal ? { steal } : { signal }, () =>
      this.lead(signal),
    )
    held.catch(() => {
      if (signal.aborted) return // it gave up its turn by itself
      this.leave()
      this.join()
    })
  }

  private leave(): void {
    this.turn.abort()
    this.leads = false
    this.source?.close()
    this.source = undefined
    window.clearTimeout(this.timer)
    this.timer = undefined
    this.changes = []
    this.moved.clear()
  }

  private comeBack(): void {
    if (!this.turn.signal.aborted || this.over.signal.aborted) return
    this.join()
    this.hear({ kind: "missed" })
  }

  private ping(): void {
    if (this.leads || this.turn.signal.aborted || document.hidden) return
    if (this.unanswered++ < MOST_UNANSWERED) {
      this.channel?.postMessage({ kind: "ping" } satisfies Said)
      return
    }
    this.unanswered = 0
    this.hear({ kind: "online", online: false })
    this.join(true)
  }

  private lead(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve()
    this.leads = true
    this.byTab.clear()
    this.channel?.postMessage({ kind: "asked" } satisfies Said)
    this.sayWatched()
    return new Promise((resolve) => signal.addEventListener("abort", () => resolve()))
  }

  private take(said: Said): void {
    if (said.kind !== "watched" && said.kind !== "ping") this.unanswered = 0
    switch (said.kind) {
      case "asked":
        return this.sayWatched()
      case "ping":
        if (this.leads) this.channel?.postMessage({ kind: "pong" } satisfies Said)
        return
      case "pong":
        return
      case "watched":
        if (this.leads) this.ask(said.tab, said.topics)
        return
      default:
        return this.hear(said)
    }
  }

  private sayWatched(): void {
    const topics = [...this.watched.keys()]
    if (this.leads) this.ask(this.tab, topics)
    else if (!this.over.signal.aborted) {
      this.channel?.postMessage({ kind: "watched", tab: this.tab, topics } satisfies Said)
    }
  }

  private ask(tab: string, topics: string[]): void {
    if (topics.length > 0) this.byTab.set(tab, topics)
    else this.byTab.delete(tab)
    const all = [...new Set([...TOPICS, ...[...this.byTab.values()].flat()])].join(",")
    if (all === this.topics && this.source !== undefined) return
    this.topics = all
    this.open()
  }

  private open(): void {
    this.source?.close()
    const query = new URLSearchParams({ topics: this.topics })
    if (this.last !== null) query.set("after", this.last)
    const source = (this.source = new EventSource(`/api/stream?${query.toString()}`))
    source.onopen = () => {
      this.failures = 0
      // What happened before it was open, no event tells.
      if (this.last === null) this.tell({ kind: "missed" })
      this.tell({ kind: "online", online: navigator.onLine })
    }
    const on = (name: string, take: (data: string) => void) =>
      source.addEventListener(name, (event: MessageEvent<string>) => {
        if (event.lastEventId !== "") this.last = event.lastEventId
        take(event.data)
      })
    on("executions", (data) => this.gather(JSON.parse(data) as Change))
    on("steps", (data) => this.gatherMoved(`steps:${(JSON.parse(data) as Change).execution}`))
    // What others write is seen at once.
    on("drafts", (data) => this.tell({ kind: "draft", notice: JSON.parse(data) as DraftNotice }))
    for (const each of TOPICS.slice(1)) on(each, () => this.gatherMoved(each))
    on("reload", () => this.tell({ kind: "missed" }))
    source.addEventListener("dropped", () => {
      this.last = null
      this.again(source)
    })
    source.onerror = () => this.again(source)
  }

  private again(source: EventSource): void {
    source.close()
    if (this.over.signal.aborted || this.source !== source) return
    if (this.failures > 0) this.tell({ kind: "online", online: false })
    const after = RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)]
    window.setTimeout(() => {
      if (!this.over.signal.aborted && this.source === source) this.open()
    }, after)
  }

  private gather(change: Change): void {
    this.changes.push(change)
    this.tellSoon()
  }

  private gatherMoved(topic: string): void {
    this.moved.add(topic)
    this.tellSoon()
  }

  private tellSoon(): void {
    this.timer ??= window.setTimeout(() => {
      this.timer = undefined
      const changes = coalesce(this.changes)
      const topics = [...this.moved]
      this.changes = []
      this.moved.clear()
      if (changes.length > 0) this.tell({ kind: "changes", changes })
      if (topics.length > 0) this.tell({ kind: "moved", topics })
    }, EVERY_MS)
  }

  private tell(news: News): void {
    if (this.over.signal.aborted) return
    this.channel?.postMessage(news satisfies Said)
    this.hear(news)
  }

  private hear(news: News): void {
    if (news.kind === "online") this.online = news.online
    for (const each of this.listeners) each(news)
  }
}
