import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query"
import { answerOf, api, type Schemas } from "./client"
import { type JsonText, parseExact } from "./exact"
import { eachPage } from "./list"

export type Summary = Schemas["ExecutionSummary"]
export type ExecutionState = Summary["state"]
export type Failure = Schemas["FailureView"]
export type Execution = Schemas["ExecutionOverview"]
export type Step = Schemas["StepExcerpt"]
export type Excerpt = Schemas["ValueExcerpt"]
export type LaidOut = Schemas["ExecutionOutline"]
export type LogLine = Omit<Schemas["LogView"], "fields"> & { fields: JsonText }

export const STATES = [
  "queued",
  "running",
  "waiting",
  "succeeded",
  "failed",
  "cancelled",
  "ignored",
] as const satisfies readonly ExecutionState[]

const FIRST_STEPS = 200
const MORE_STEPS = 1_000
const FIELDS = new Set(["fields"])
// Raw values are as they are stored: their secrets are sealed.
const SEALED = /\{"\$secret":"[^"\\]*"\}/g

export const isOver = (state: ExecutionState): boolean =>
  state !== "queued" && state !== "running" && state !== "waiting"

export const executionQuery = (execution: string) =>
  queryOptions({
    queryKey: ["execution", execution],
    queryFn: async ({ signal }): Promise<Execution> => {
      const params = { path: { execution } }
      const call = api.GET("/api/executions/{execution}/overview", { params, signal })
      return (await answerOf(call)) as Execution // the client's types lose what pairs are
    },
  })

/** The steps of an execution with the beginnings of their values, page after page. */
export const stepsQuery = (execution: string) =>
  infiniteQueryOptions({
    queryKey: ["execution", execution, "steps"],
    initialPageParam: null as number | null,
    getNextPageParam: (page: Schemas["StepPage"]) => page.next,
    queryFn: ({ signal, pageParam: after }) => {
      const query = after === null ? { limit: FIRST_STEPS } : { limit: MORE_STEPS, after }
      const params = { path: { execution }, query }
      return answerOf(api.GET("/api/executions/{execution}/steps", { params, signal }))
    },
    select: ({ pages }) => pages.flatMap((page) => page.items),
  })

/** The outline of an execution's flow, with what it ran of it. */
export const outlineQuery = (execution: string) =>
  queryOptions({
    queryKey: ["execution", execution, "outline"],
    queryFn: ({ signal }): Promise<LaidOut> => {
      const params = { path: { execution } }
      return answerOf(api.GET("/api/executions/{execution}/outline", { params, signal }))
    },
  })

/** What each step of the document gave, page after page. */
export const traceQuery = (execution: string) =>
  infiniteQueryOptions({
    queryKey: ["execution", execution, "trace"],
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (page: Schemas["ExecutionTrace"]) =>
      page.next === null ? undefined : Number(page.next),
    queryFn: ({ signal, pageParam: after }) => {
      const query = { limit: MORE_STEPS, ...(after === undefined ? {} : { after }) }
      const params = { path: { execution }, query }
      return answerOf(api.GET("/api/executions/{execution}/trace", { params, signal }))
    },
  })

export const logsQuery = (execution: string) =>
  queryOptions({
    queryKey: ["execution", execution, "logs"],
    queryFn: async ({ signal }) => (await loadLogs(execution, 0, signal)).items,
  })

async function loadLogs(execution: string, after: number, signal?: AbortSignal) {
  const params = { path: { execution }, query: { after } }
  const text = await answerOf(
    api.GET("/api/executions/{execution}/logs", {
      params,
      parseAs: "text",
      ...(signal && { signal }),
    }),
  )
  return parseExact(text, FIELDS) as { items: LogLine[]; next: number | null }
}

/** All that an execution logged, page after page. */
export function eachLogPage(execution: string) {
  return eachPage((after: number | undefined) => loadLogs(execution, after ?? 0))
}

export type ValuePart = "inputs" | "result" | "body"

/** Where a value is, whole: of a step, or of the execution. */
export function valueAddress(execution: string, part: ValuePart, step?: string): string {
  const query = step === undefined ? "" : `?step=${encodeURIComponent(step)}`
  return `/api/executions/${encodeURIComponent(execution)}/${part}${query}`
}

/** A value, whole, as text; null where it is none, but binary. */
export const valueQuery = (execution: string, part: ValuePart, step?: string) =>
  queryOptions({
    queryKey: ["value", execution, part, step],
    staleTime: Infinity,
    queryFn: async ({ signal }): Promise<string | null> => {
      const params = { path: { execution }, query: { step: step as string } }
      const bytes = await answerOf(
        api.GET(`/api/executions/{execution}/${part}`, { params, signal, parseAs: "arrayBuffer" }),
      )
      try {
        const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes)
        return part === "body" ? text : text.replace(SEALED, '"•••"')
      } catch {
        return null
      }
    },
  })
