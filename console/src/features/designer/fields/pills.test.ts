import { CompletionContext } from "@codemirror/autocomplete"
import { EditorState } from "@codemirror/state"
import { expect, test } from "vitest"
import { treeOf } from "../data/tree"
import { changeOf } from "./code-mirror"
import { Data, decoded, encoded, offered } from "./pills"

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

test.each([
  ["/", "event event.number"],
  ["to /num", "event.number"],
  ["a\n/event.nu", "event.number"],
  ["/accounts", undefined],
  ["/num/", undefined],
  ["a/num", undefined],
])("after %j values are offered, and never put in by themselves", (doc, wanted) => {
  const schema = { type: "object", properties: { number: { type: "string" } } }
  const rest = { type: "", absent: "", variable: false, given: null, sample: "null" }
  const data = treeOf([{ ...rest, name: "event", schema }])
  const state = EditorState.create({ doc, extensions: Data.of(data) })
  const found = offered(new CompletionContext(state, doc.length, false))
  const labels = found instanceof Promise ? "" : found?.options.map((each) => each.label).join(" ")
  expect(labels).toBe(wanted)
})
