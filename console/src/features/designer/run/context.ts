import { createContext, use } from "react"
import type { Overlay, Row } from "./rows"
import type { Asked, Run } from "./store"

/** The latest run of the draft, laid over the flow that is drawn, and what is done about runs. */
export type Runs = {
  run: Run | null
  /** The run over the flow that is drawn; null where it did not come to it. */
  over: Overlay | null
  /** True where results of the flow that is drawn are of an earlier text. */
  stale: boolean
  /** The executions of the flow that is drawn, and the one that is shown. */
  executions: readonly number[]
  execution: number
  showExecution: (execution: number) => void
  showItem: (loop: string, at: number) => void
  /** The event of the execution that is shown, as its steps see it, as JSON; null where it is not known. */
  event: string | null
  /** What the flow that is drawn was run with last. */
  last: () => Asked | null
  /** Run as the last time; the first time, ask with what. */
  again: () => void
  ask: () => void
  start: (asked: Asked) => void
  stop: () => void
  clear: () => void
  /** A step that was run alone has its row in the place of the run's. */
  alone: (key: string, row: Row | null) => void
}

export const RunContext = createContext<Runs | null>(null)

/** The runs of the draft that is open; null where a flow is only looked at. */
export function useRuns(): Runs | null {
  return use(RunContext)
}
