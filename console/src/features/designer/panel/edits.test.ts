import { expect, test } from "vitest"
import { inputEdits, memberEdits } from "./edits"

const PATH = ["flows", "a", "steps", 0]

test("a member is written behind those that stand before it", () => {
  const order = ["id", "action", "with", "retry"]
  const held = { action: "acme.x", retry: 3 }
  expect(memberEdits(PATH, held, "with", {}, order)).toEqual([
    { op: "set", path: [...PATH, "with"], value: {}, after: "action" },
  ])
  expect(memberEdits(PATH, held, "retry", 4, order)).toEqual([
    { op: "set", path: [...PATH, "retry"], value: 4, after: null },
  ])
  expect(memberEdits(PATH, held, "retry", 3)).toEqual([])
  expect(memberEdits(PATH, held, "retry", undefined)).toEqual([
    { op: "delete", path: [...PATH, "retry"] },
  ])
  expect(memberEdits(PATH, held, "toString", undefined)).toEqual([])
})

test("`with` comes with the first input, and goes with the last", () => {
  expect(inputEdits(PATH, { action: "x" }, "id", "=a", ["action", "with"])).toEqual([
    { op: "set", path: [...PATH, "with"], value: { id: "=a" }, after: "action" },
  ])
  const held = { action: "x", with: { id: "=a" } }
  expect(inputEdits(PATH, held, "id", undefined)).toEqual([
    { op: "delete", path: [...PATH, "with"] },
  ])
  expect(inputEdits(PATH, held, "name", "n", [], ["id", "name"])).toEqual([
    { op: "set", path: [...PATH, "with", "name"], value: "n", after: "id" },
  ])
})
