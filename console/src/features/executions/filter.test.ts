import { beforeAll, expect, test } from "vitest"
import { i18n } from "~/phrases"
import { NotUnderstood } from "~/api/problem"
import { millisecondsOf, queryOf, readFilter, spelledOut, timeOf } from "./filter"

beforeAll(() => i18n.loadAndActivate({ locale: "en", messages: {} }))

test("a URL's search is read, and what is misshapen left out", () => {
  const search = {
    state: ["failed", "nope"],
    key: 4711,
    status: "401",
    customer: "",
    dead: "yes",
    x: 1,
  }
  expect(readFilter(search)).toEqual({ state: ["failed"], key: "4711", status: 401 })
  expect(readFilter({ state: "queued", status: 42, key: { a: 1 } })).toEqual({ state: ["queued"] })
})

test("times are distances or dates", () => {
  const now = Date.parse("2026-11-29T12:00:00Z")
  expect(timeOf("2h", now)).toBe("2026-11-29T10:00:00.000Z")
  expect(timeOf("3 d", now)).toBe("2026-11-26T12:00:00.000Z")
  expect(timeOf("2026-01-31T14:00:00Z")).toBe("2026-01-31T14:00:00.000Z")
})

test("times are what people type", () => {
  const now = new Date(2026, 10, 29, 12, 0, 0).getTime()
  const local = (...at: [number, number, number, number?, number?]) => new Date(...at).toISOString()
  expect(timeOf("30s", now)).toBe(local(2026, 10, 29, 11, 59).replace(":00.000Z", ":30.000Z"))
  expect(timeOf("1h 30 min ago", now)).toBe(local(2026, 10, 29, 10, 30))
  expect(timeOf("1w", now)).toBe(new Date(now - 7 * 864e5).toISOString())
  expect(timeOf("11:30", now)).toBe(local(2026, 10, 29, 11, 30))
  expect(timeOf("13:00", now)).toBe(local(2026, 10, 28, 13, 0))
  expect(timeOf("Yesterday", now)).toBe(local(2026, 10, 28))
  expect(timeOf("today", now)).toBe(local(2026, 10, 29))
  expect(timeOf("yesterday 10:00", now)).toBe(local(2026, 10, 28, 10, 0))
  expect(timeOf("yesterday at 10", now)).toBe(local(2026, 10, 28, 10, 0))
  expect(timeOf("today 13:30", now)).toBe(local(2026, 10, 29, 13, 30))
  expect(timeOf("2026-01-31", now)).toBe(local(2026, 0, 31))
  expect(timeOf("2026-01-31 14:00", now)).toBe(local(2026, 0, 31, 14, 0))
  for (const none of [
    "soon",
    "30q",
    "5",
    "",
    "at 10",
    "25:00",
    "today 25:00",
    "order 4711",
    "2026-13-01",
    "999999w",
    "1h x",
  ]) {
    expect([none, timeOf(none, now)]).toEqual([none, null])
  }
})

test("a time that is none is not left out of a query", () => {
  expect(() => queryOf({ since: "30q" })).toThrow(NotUnderstood)
  expect(() => queryOf({ until: "soon" })).toThrow("“soon” is no time")
})

test("lengths of time are read as they are spelled out", () => {
  for (const ms of [0, 500, 2_500, 90_000, 180_000, 3_600_000]) {
    expect(millisecondsOf(spelledOut(ms))).toBe(ms)
  }
  expect(millisecondsOf("2.5 s")).toBe(2_500)
  expect(millisecondsOf("5")).toBeNull()
  expect(readFilter({ min_ms: 500, replay_of: "exe_1", failure_kind: "E" })).toEqual({
    min_ms: 500,
    replay_of: "exe_1",
    failure_kind: "E",
  })
  expect(readFilter({ min_ms: -1 })).toEqual({})
})

test("a filter becomes the API's query", () => {
  const filter = { state: ["failed" as const, "queued" as const], dead: true as const, key: "A 7" }
  expect(queryOf(filter)).toEqual({ state: "failed,queued", dead_letters: true, key: "A 7" })
})
