import { expect, test } from "vitest"
import { saysJson } from "./replay"

test("an event is JSON where its content type says so, whatever its body has become", () => {
  expect(saysJson([["Content-Type", "application/json; charset=utf-8"]])).toBe(true)
  expect(saysJson([["content-type", "application/vnd.api+json"]])).toBe(true)
  expect(saysJson([["content-type", "text/plain; as=application/json"]])).toBe(false)
  expect(saysJson([["accept", "application/json"]])).toBe(false)
  expect(saysJson([])).toBe(false)
})
