import { queryOptions } from "@tanstack/react-query"
import { answerOf, api, type Schemas } from "./client"
import { type JsonText, parseExact } from "./exact"
import { eachPage, type Page } from "./list"

export type Logged = Omit<Schemas["LoggedView"], "fields"> & { fields: JsonText }
export type Rejection = Schemas["RejectionView"]
export type Schedule = Schemas["ScheduleView"]
export type AuditEntry = Schemas["AuditView"]

export const LEVELS = ["error", "warning", "info", "debug"] as const
export type Level = (typeof LEVELS)[number]

type Whose = { customer?: string; integration?: string }
/** Times as they are typed. */
type Period = { since?: string; until?: string }
/** The same, as the API takes them. */
export type Moments = { since: string | null; until: string | null }
export type LogFilter = Whose &
  Period & { q?: string; level?: Level; flow?: string; instance?: string }
export type RejectionFilter = Whose & { q?: string; status?: string; instance?: string }
export type ScheduleFilter = Whose
export type AuditFilter = Period & {
  actor?: string
  operation?: string
  on?: string
  customer?: string
}

const PAGE = 100
const FIELDS = new Set(["fields"])

/** Lines keep the digits of their fields. */
export async function loadLogs(
  filter: Omit<LogFilter, keyof Moments> & Moments,
  before: string | undefined,
  signal?: AbortSignal,
): Promise<Page<Logged>> {
  const query = { ...filter, limit: PAGE, ...(before === undefined ? {} : { before }) }
  const text = await answerOf(
    api.GET("/api/logs", { params: { query }, parseAs: "text", ...(signal && { signal }) }),
  )
  return parseExact(text, FIELDS) as Page<Logged>
}

/** All lines of a search, page after page. */
export function eachPageOfLogs(filter: Parameters<typeof loadLogs>[0]) {
  return eachPage((before: string | undefined) => loadLogs(filter, before))
}

export function loadRejections(
  { status, ...filter }: RejectionFilter,
  before: string | undefined,
  signal: AbortSignal,
): Promise<Page<Rejection>> {
  const code = Number(status)
  const query = {
    ...filter,
    ...(code >= 100 && code <= 599 ? { status: code } : {}),
    limit: PAGE,
    ...(before === undefined ? {} : { before }),
  }
  return answerOf(api.GET("/api/rejections", { params: { query }, signal })) as Promise<
    Page<Rejection>
  >
}

export function loadSchedules(
  filter: ScheduleFilter,
  after: string | undefined,
  signal: AbortSignal,
): Promise<Page<Schedule>> {
  const query = { ...filter, limit: PAGE, ...(after === undefined ? {} : { after }) }
  return answerOf(api.GET("/api/schedules", { params: { query }, signal }))
}

/** `filter`: with its times as the API takes them. */
export function loadAudit(
  filter: Omit<AuditFilter, keyof Moments> & Moments,
  before: string | undefined,
  signal: AbortSignal,
): Promise<Page<AuditEntry>> {
  const query = { ...filter, limit: PAGE, ...(before === undefined ? {} : { before }) }
  return answerOf(api.GET("/api/audit", { params: { query }, signal }))
}

/** The operations of which the audit log has entries, in words. */
export const operationsQuery = queryOptions({
  queryKey: ["audit", "operations"],
  staleTime: Infinity,
  queryFn: async ({ signal }) =>
    (await answerOf(api.GET("/api/audit/operations", { signal }))).items,
})
