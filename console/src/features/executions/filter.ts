import { t } from "@lingui/core/macro"
import { NotUnderstood } from "~/api/problem"
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
  trigger?: string
  reason?: string
  cause?: string
  component?: string
  failure_kind?: string
  status?: number
  /** Its attempts ran for so many milliseconds, or longer. */
  min_ms?: number
  since?: string
  until?: string
  parent?: string
  replay_of?: string
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
  "trigger",
  "reason",
  "cause",
  "component",
  "failure_kind",
  "since",
  "until",
  "parent",
  "replay_of",
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
  const least = search["min_ms"]
  if (typeof least === "number" && Number.isInteger(least) && least >= 0) filter.min_ms = least
  if (search["dead"] === true) filter.dead = true
  return filter
}

// The units of the API's durations.
const LENGTHS: Record<string, number> = { s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 }
const UNIT = /^(?:s(?:ec(?:onds?)?)?|m(?:in(?:utes?)?)?|h(?:ours?)?|d(?:ays?)?|w(?:eeks?)?)$/
const SPAN = /^(?:\d{1,6}(?:\.\d{1,6})?\s*[a-z]+\s*)+(?:ago)?$/
const DAY = /^(today|yesterday)?(?: ?(?:at )?(\d{1,2})(?::(\d{2})(?::(\d{2}))?)?)?$/
const LATEST = Date.UTC(10_000, 0)
const DATE = /^\d{4}-\d{2}-\d{2}$/
const MOMENT = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?$/i

/**
 * Return a time as the API takes it; null where the text is none.
 *
 * `30s`, `2h`, `1h 30m` count back from now; `13:00` is when it last was so late; `today` and `yesterday`
 * begin at midnight, and `yesterday 13:00` is that day's. A date, and a time without its zone, are those of this browser.
 */
export function timeOf(text: string, now: number = Date.now()): string | null {
  const at = momentOf(text.trim().toLowerCase(), now)
  return at >= 0 && at < LATEST ? new Date(at).toISOString() : null
}

function momentOf(text: string, now: number): number {
  if (text === "now") return now
  const [found, name, hours, minutes, seconds] = DAY.exec(text) ?? []
  if (found && (name || minutes)) {
    const [h = 0, m = 0, s = 0] = [hours, minutes, seconds].map((each) => Number(each ?? 0))
    if (h > 23 || m > 59 || s > 59) return NaN
    const day = new Date(now)
    day.setHours(h, m, s, 0)
    if (name ? name === "yesterday" : day.getTime() > now) day.setDate(day.getDate() - 1)
    return day.getTime()
  }
  if (SPAN.test(text)) {
    const parts = [...text.replace(/ago$/, "").matchAll(/([\d.]+)\s*([a-z]+)/g)]
    const spans = parts.map(([, count, unit = ""]) =>
      UNIT.test(unit) ? Number(count) * (LENGTHS[unit.charAt(0)] ?? NaN) : NaN,
    )
    return now - spans.reduce((sum, each) => sum + each, 0)
  }
  // Without a clock, a date would be taken for one of UTC.
  if (DATE.test(text)) return Date.parse(`${text}T00:00`)
  return MOMENT.test(text) ? Date.parse(text.toUpperCase().replace(" ", "T")) : NaN
}

/** Say how a time is written. */
export const timeHint = (): string =>
  t`such as 30s, 2h, 3d, 13:00, yesterday 10:00, or 2026-01-31 14:00`

/** Return a time that was typed as the API takes it; throw where it is none. */
export function timeIn(text: string | undefined, now?: number): string | undefined {
  if (text === undefined) return undefined
  const at = timeOf(text, now)
  if (at === null) throw new NotUnderstood(t`“${text}” is no time: write one ${timeHint()}`)
  return at
}

const UNITS: Record<string, number> = { ms: 1, s: 1_000, min: 60_000, h: 3_600_000 }

/** Return a length of time in milliseconds: `500 ms`, `2.5 s`, `3 min`, `1 h`; null where it is none. */
export function millisecondsOf(text: string): number | null {
  const found = /^(\d{1,9}(?:\.\d{1,3})?)\s*(ms|s|min|h)$/.exec(text.trim())
  return found === null ? null : Math.round(Number(found[1]) * (UNITS[found[2] ?? ""] ?? 0))
}

/** Return milliseconds as `millisecondsOf` reads them, exactly. */
export function spelledOut(ms: number): string {
  const unit = ["h", "min", "s"].find((each) => ms > 0 && ms % (UNITS[each] ?? 1) === 0) ?? "ms"
  return `${ms / (UNITS[unit] ?? 1)} ${unit}`
}

/** Return the filter as the API's query takes it; throw where it has a time that is none. */
export function queryOf(filter: Filter, now?: number) {
  const { state, since, until, dead, ...rest } = filter
  const from = timeIn(since, now)
  const to = timeIn(until, now)
  return {
    ...rest,
    ...(state === undefined ? {} : { state: state.join(",") }),
    ...(from === undefined ? {} : { since: from }),
    ...(to === undefined ? {} : { until: to }),
    ...(dead === true ? { dead_letters: true } : {}),
  }
}
