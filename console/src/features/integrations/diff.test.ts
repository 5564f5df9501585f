import { expect, test } from "vitest"
import { hunksBetween, hunksOf, pairsOf } from "./diff"

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

test("two texts are compared line by line, with three lines around each change", () => {
  const lines = Array.from({ length: 20 }, (_, at) => `line ${at + 1}`)
  const after = [...lines.slice(0, 9), "ten", "and more", ...lines.slice(10, 18), "line 20", "end"]
  const hunks = hunksBetween(lines.join("\n"), after.join("\n"))
  expect(
    hunks.map((each) =>
      each.lines.map(({ kind, text, before, after }) => `${kind[0]} ${before} ${after} ${text}`),
    ),
  ).toEqual([
    [
      "s 7 7 line 7",
      "s 8 8 line 8",
      "s 9 9 line 9",
      "r 10 null line 10",
      "a null 10 ten",
      "a null 11 and more",
      "s 11 12 line 11",
      "s 12 13 line 12",
      "s 13 14 line 13",
    ],
    [
      "s 16 17 line 16",
      "s 17 18 line 17",
      "s 18 19 line 18",
      "r 19 null line 19",
      "s 20 20 line 20",
      "a null 21 end",
    ],
  ])
  expect(hunksBetween("same\ntext", "same\ntext")).toEqual([])
  expect(hunksBetween("", "new").flatMap((each) => each.lines.map(({ text }) => text))).toEqual([
    "",
    "new",
  ])
})
