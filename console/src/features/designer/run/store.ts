import type { FlowOutline } from "../draft/types"
import { keysOf, RowLog, type RunEnd, type Snapshot, snapshotOf } from "./rows"
import { runFlow, type Told } from "./stream"

/** What a run begins with. */
export type Asked = {
  flow: string
  /** The body of the request, as JSON; null where it is made up by the trigger's schema. */
  event: string | null
  /** The execution that is run again. */
  execution: string | null
  /** The signals that are sent while it waits, as JSON. */
  signals: string
  /** Values of the config, as JSON; what is left out is the execution's, the default, or made up. */
  config: string
  /** Real: actions without a pin are called, as the development instance. */
  effects: "stubbed" | "real"
  /** The steps whose pins are left out of it. */
  unpinned: readonly string[]
}

/** A run of a draft, as far as it has come. */
export type Run = {
  status: "running" | "ended" | "stopped" | "lost"
  asked: Asked
  log: RowLog
  /** The steps as they were when it began. */
  before: Snapshot
  end: RunEnd | null
  error: unknown
  /** Another number for each state. */
  version: number
}

/** The latest run of a draft that is open; rows are shown a frame after they came. */
export class RunStore {
  private run: Run | null = null
  private stopping: AbortController | null = null
  private readonly listeners = new Set<() => void>()
  private waits = false

  constructor(private readonly draft: string) {}

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }
  readonly get = (): Run | null => this.run

  async start(asked: Asked, revision: number, flows: readonly FlowOutline[]): Promise<void> {
    this.stopping?.abort()
    const stopping = new AbortController()
    this.stopping = stopping
    const log = new RowLog(keysOf(flows))
    const before = snapshotOf(flows)
    this.set({ status: "running", asked, log, before, end: null, error: null, version: 0 })
    const own = (part: Partial<Run>) => {
      if (this.stopping === stopping && this.run !== null) this.set({ ...this.run, ...part })
    }
    const tell = (told: Told) => {
      if (this.stopping !== stopping) return
      if (told.kind === "row") log.add(told.row)
      else own({ end: told.end })
      this.soon()
    }
    try {
      const whole = await runFlow(this.draft, bodyOf(asked, revision), stopping.signal, tell)
      own({ status: whole ? "ended" : "lost" })
    } catch (error) {
      if (stopping.signal.aborted) own({ status: "stopped" })
      else own({ status: "lost", error })
    }
  }

  stop(): void {
    this.stopping?.abort()
  }

  clear(): void {
    this.stopping?.abort()
    this.stopping = null
    this.set(null)
  }

  private soon(): void {
    if (this.waits) return
    this.waits = true
    requestAnimationFrame(() => {
      this.waits = false
      if (this.run !== null) this.set(this.run)
    })
  }

  private set(run: Run | null): void {
    this.run = run === null ? null : { ...run, version: run.version + 1 }
    for (const each of this.listeners) each()
  }
}

/** What a run is given, as members of its body: the event as it was typed, with all its digits. */
export function givenOf(asked: Asked): string[] {
  const members = []
  if (asked.execution !== null) members.push(`"execution":${JSON.stringify(asked.execution)}`)
  else if (asked.event !== null) members.push(`"event":${asked.event}`)
  if (asked.signals.trim() !== "") members.push(`"signals":${asked.signals}`)
  if (asked.config.trim() !== "") members.push(`"config":${asked.config}`)
  return members
}

/** The body of a run. */
export function bodyOf(asked: Asked, revision: number): string {
  const members = [`"flow":${JSON.stringify(asked.flow)}`, `"revision":${revision}`]
  members.push(...givenOf(asked))
  if (asked.effects === "real") members.push('"effects":"real"')
  if (asked.unpinned.length > 0) members.push(`"unpinned":${JSON.stringify(asked.unpinned)}`)
  return `{${members.join(",")}}`
}
