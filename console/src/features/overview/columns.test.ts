import { expect, test } from "vitest"
import { ceiling, columnsOf, type Stats } from "./columns"

const point = (at: string, count: number, p95_ms: number | null = null) => ({
  at: `2026-11-29T${at}:00Z`,
  count,
  p50_ms: p95_ms,
  p95_ms,
})

test("curves are laid on one row of columns, up to now", () => {
  const stats = {
    since: "2026-11-29T10:00:00Z",
    step_seconds: 1_800,
    series: [
      { key: "accepted", points: [point("10:00", 3), point("11:00", 2)] },
      { key: "succeeded", points: [point("11:00", 2, 40)] },
      { key: "failed", points: [point("10:00", 1)] },
    ],
  } as unknown as Stats
  const columns = columnsOf(stats, Date.parse("2026-11-29T11:10:00Z"))
  expect(columns.map((each) => [each.came, each.ended, each.p95])).toEqual([
    [3, { failed: 1 }, null],
    [0, {}, null],
    [2, { succeeded: 2 }, 40],
  ])
  expect(columns[1]?.until).toBe("2026-11-29T11:00:00.000Z")
})

test("an axis ends at a round number", () => {
  expect([0, 1, 3, 12, 199, 200, 501].map(ceiling)).toEqual([1, 1, 5, 20, 200, 200, 1_000])
})
