import { expect, test } from "vitest"
import { hunksOf, pairsOf } from "./diff"

const TEXT = `--- a/orders.yaml
+++ b/orders.yaml
@@ -1,4 +1,5 @@
 name: orders
-title: Orders
-x: 1
+title: Sales
+x: 2
+y: 3
 flows:
@@ -9,2 +10,1 @@
--- a comment
 last`

test("a unified diff is read with the numbers of its lines", () => {
  const [first, second] = hunksOf(TEXT)
  expect(first?.lines.map((each) => [each.kind, each.before, each.after])).toEqual([
    ["same", 1, 1],
    ["removed", 2, null],
    ["removed", 3, null],
    ["added", null, 2],
    ["added", null, 3],
    ["added", null, 4],
    ["same", 4, 5],
  ])
  expect(second?.lines[0]).toEqual({
    kind: "removed",
    text: "-- a comment",
    before: 9,
    after: null,
  })
  expect(hunksOf("")).toEqual([])
})

test("what was removed stands beside what was added in its place", () => {
  const pairs = pairsOf(hunksOf(TEXT)[0]?.lines ?? [])
  expect(pairs.map((each) => [each.before?.text ?? null, each.after?.text ?? null])).toEqual([
    ["name: orders", "name: orders"],
    ["title: Orders", "title: Sales"],
    ["x: 1", "x: 2"],
    [null, "y: 3"],
    ["flows:", "flows:"],
  ])
})
