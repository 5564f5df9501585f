import { expect, test } from "vitest"
import { isReplayable } from "./actions"
import { saysJson } from "./replay"

test("an event is JSON where its content type says so, whatever its body has become", () => {
  expect(saysJson([["Content-Type", "application/json; charset=utf-8"]])).toBe(true)
  expect(saysJson([["content-type", "application/vnd.api+json"]])).toBe(true)
  expect(saysJson([["content-type", "text/plain; as=application/json"]])).toBe(false)
  expect(saysJson([["accept", "application/json"]])).toBe(false)
  expect(saysJson([])).toBe(false)
})

test("what has ended is replayed as long as its payload is stored", () => {
  expect(isReplayable({ state: "failed", payload_removed: false })).toBe(true)
  expect(isReplayable({ state: "failed", payload_removed: true })).toBe(false)
  expect(isReplayable({ state: "waiting", payload_removed: false })).toBe(false)
})
