import { type ExecutionState, STATES } from "~/api/execution"

/** A filter of executions, as the URL has it; what is left out does not matter. */
export type Filter = {
  state?: ExecutionState[]
  key?: string
  customer?: string
  instance?: string
  integration?: string
  flow?: string
  version?: string
  reason?: string
  cause?: string
  status?: number
  since?: string
  until?: string
  parent?: string
  bulk?: string
  dead?: true
}

export const TEXTS = [
  "key",
  "customer",
  "instance",
  "integration",
  "flow",
  "version",
  "reason",
  "cause",
  "since",
  "until",
  "parent",
  "bulk",
] as const satisfies readonly (keyof Filter)[]

/** Read a filter from a URL's search; what is not known or misshapen is left out. */
export function readFilter(search: Record<string, unknown>): Filter {
  const filter: Filter = {}
  const named = Array.isArray(search["state"]) ? search["state"] : [search["state"]]
  const states = STATES.filter((each) => named.includes(each))
  if (states.length > 0) filter.state = states
  for (const name of TEXTS) {
    const value = search[name]
    if (typeof value === "string" && value !== "") filter[name] = value
    if (typeof value === "number") filter[name] = String(value)
  }
  const status = Number(search["status"])
  if (Number.isInteger(status) && status >= 100 && status <= 599) filter.status = status
  if (search["dead"] === true) filter.dead = true
  return filter
}

const LENGTHS: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Return a time of a filter as the API takes it: `2h` and `3d` count from now; null where it is none. */
export function timeOf(text: string, now: number = Date.now()): string | null {
  const span = /^(\d{1,5})\s*([mhd])$/.exec(text.trim())
  if (span !== null) {
    return new Date(now - Number(span[1]) * (LENGTHS[span[2] ?? ""] ?? 0)).toISOString()
  }
  const at = Date.parse(text)
  return Number.isNaN(at) ? null : new Date(at).toISOString()
}

/** Return the filter as the API's query takes it. */
export function queryOf(filter: Filter, now?: number) {
  const { state, since, until, dead, ...rest } = filter
  const from = since === undefined ? null : timeOf(since, now)
  const to = until === undefined ? null : timeOf(until, now)
  return {
    ...rest,
    ...(state === undefined ? {} : { state: state.join(",") }),
    ...(from === null ? {} : { since: from }),
    ...(to === null ? {} : { until: to }),
    ...(dead === true ? { dead_letters: true } : {}),
  }
}
