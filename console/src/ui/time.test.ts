import { expect, test, vi } from "vitest"
import { ago, length, shortTime, shownNow } from "./time"

test("lengths show what matters", () => {
  expect([0.4, 340, 2_000, 9_990, 42_300, 185_000, 7_440_000, 200_000_000].map(length)).toEqual([
    "0 ms",
    "340 ms",
    "2.0 s",
    "10.0 s",
    "42 s",
    "3 min 5 s",
    "2 h 4 min",
    "2 d 7 h",
  ])
})

test("a time of another day has its day, one of another year its year", () => {
  const from = Date.parse("2026-11-29T12:00:00")
  expect(shortTime("2026-11-29T08:05:03", from)).toBe("08:05:03")
  expect(shortTime("2026-11-28T08:05:03", from)).toMatch(/28.*08:05:03/)
  expect(shortTime("2025-11-28T08:05:03", from)).toMatch(/2025.*08:05$/)
})

test("distances take the largest unit", () => {
  const from = Date.parse("2026-11-29T12:00:00Z")
  expect(ago("2026-11-29T11:55:00Z", from)).toBe("5 min. ago")
  expect(ago("2026-11-27T11:55:00Z", from)).toBe("2 days ago")
  expect(ago("2026-11-29T12:00:30Z", from)).toBe("in 30 sec.")
})

test("a time that is shown after a while is measured from now", () => {
  vi.useFakeTimers({ now: Date.now() + 60_000 })
  expect(ago(new Date(Date.now() - 3_000).toISOString(), shownNow())).toBe("3 sec. ago")
  vi.useRealTimers()
})
