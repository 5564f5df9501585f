import type { Schemas } from "~/api/client"

export type Stats = Schemas["StatsView"]
export type Period = "1h" | "24h" | "7d" | "30d"

/** The periods that can be looked at, each with the time between two columns. */
export const PERIODS: Record<Period, { step: string; ms: number }> = {
  "1h": { step: "5m", ms: 3_600_000 },
  "24h": { step: "30m", ms: 86_400_000 },
  "7d": { step: "3h", ms: 604_800_000 },
  "30d": { step: "12h", ms: 2_592_000_000 },
}

/** A step of time: how many came and ended how, and how long those that succeeded ran. */
export type Column = {
  from: string
  until: string
  came: number
  ended: Record<string, number>
  p50: number | null
  p95: number | null
}

export const OUTCOMES = ["succeeded", "failed", "cancelled", "ignored"] as const

/** Lay curves by state on a row of columns, one a step, up to now; steps without anything are empty. */
export function columnsOf({ since, step_seconds: step, series }: Stats, now: number): Column[] {
  const begin = Date.parse(since)
  const count = Math.max(1, Math.ceil((now - begin) / (step * 1_000)))
  const columns = Array.from({ length: count }, (_, at): Column => {
    const from = new Date(begin + at * step * 1_000).toISOString()
    const until = new Date(begin + (at + 1) * step * 1_000).toISOString()
    return { from, until, came: 0, ended: {}, p50: null, p95: null }
  })
  for (const { key, points } of series) {
    for (const point of points) {
      const column = columns[Math.floor((Date.parse(point.at) - begin) / (step * 1_000))]
      if (column === undefined) continue
      if (key === "accepted") column.came = point.count
      else column.ended[key] = point.count
      if (key === "succeeded") {
        column.p50 = point.p50_ms
        column.p95 = point.p95_ms
      }
    }
  }
  return columns
}

/** Return the least of 1, 2, 5, 10, 20 … that is not less: where an axis ends. */
export function ceiling(value: number): number {
  if (value <= 1) return 1
  const power = 10 ** Math.floor(Math.log10(value))
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= value) ?? value
}
