import { expect, test } from "vitest"
import { queryOf, readFilter, timeOf } from "./filter"

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
  expect(timeOf("soon")).toBeNull()
})

test("a filter becomes the API's query", () => {
  const filter = { state: ["failed" as const, "queued" as const], dead: true as const, key: "A 7" }
  expect(queryOf(filter)).toEqual({ state: "failed,queued", dead_letters: true, key: "A 7" })
})
