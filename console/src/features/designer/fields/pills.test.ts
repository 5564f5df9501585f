import { expect, test } from "vitest"
import { changeOf } from "./code-mirror"
import { decoded, encoded } from "./pills"

test("values in a text are marked in the editor, and nothing else is", () => {
  const parts = [{ text: "Order " }, { path: "event.n" }, { text: "\n/x" }]
  expect(decoded(encoded(parts))).toEqual(parts)
  expect(decoded("a\uE000event.x\uE001\uE000no path!\uE001b\uE000")).toEqual([
    { text: "a" },
    { path: "event.x" },
    { text: "b" },
  ])
  expect(encoded([{ text: "\uE000evil\uE001" }])).toBe("evil")
})

test("a text becomes another one by the smallest change", () => {
  expect(changeOf("aab", "aaab")).toEqual({ from: 2, to: 2, insert: "a" })
  expect(changeOf("abc", "")).toEqual({ from: 0, to: 3, insert: "" })
  expect(changeOf("x", "x")).toBeNull()
})
