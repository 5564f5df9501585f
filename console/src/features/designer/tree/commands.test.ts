import { expect, test } from "vitest"
import { predicted } from "../draft/predict"
import type { DraftEdit, FlowOutline } from "../draft/types"
import {
  deleteAll,
  duplicateAll,
  moveBy,
  moveIn,
  moveTo,
  placeAfter,
  type Range,
  rangeOf,
  wrapAll,
} from "./commands"
import { flowOf } from "./testing"
import { spotsIn, TRIGGER } from "./walk"

const LIST = ["flows", "one", "steps"]
/** a, b, then a loop of c, d, then e: n1, n2, n3 (n4, n5), n6. */
const flow = flowOf([
  { log: "a" },
  { log: "b" },
  { for: "x", in: "=y", do: [{ log: "c" }, { log: "d" }] },
  { log: "e" },
])

function after(edits: DraftEdit[]): string {
  let count = 0
  const [made] = edits.reduce<readonly FlowOutline[]>(
    (now, each) => predicted(now, each, () => `new${++count}`),
    [flow],
  )
  if (made === undefined) return ""
  return [...spotsIn(made)]
    .map(({ node, holders }) => {
      const text = node.kind === "log" ? (node.fields["log"] as string) : node.kind
      return "-".repeat(holders.length) + text
    })
    .join(" ")
}

const range = (one: string, other?: string) => rangeOf(flow, one, other ?? null) as Range

test("steps are moved one place, and out of the list at its ends", () => {
  expect(after(moveBy(flow, range("n2"), "up"))).toBe("b a for -c -d e")
  expect(after(moveBy(flow, range("n2"), "down"))).toBe("a for -c -d b e")
  expect(after(moveBy(flow, range("n1", "n2"), "down"))).toBe("for -c -d a b e")
  expect(after(moveBy(flow, range("n4"), "up"))).toBe("a b c for -d e")
  expect(after(moveBy(flow, range("n5"), "down"))).toBe("a b for -c d e")
  expect(after(moveBy(flow, range("n4", "n5"), "up"))).toBe("a b c d for e")
  expect(after(moveBy(flow, range("n4", "n5"), "down"))).toBe("a b for c d e")
  expect(moveBy(flow, range("n1"), "up")).toEqual([])
})

test("steps are moved into the one before them, and to any place but themselves", () => {
  expect(after(moveIn(flow, range("n6")))).toBe("a b for -c -d -e")
  expect(moveIn(flow, range("n2"))).toEqual([])
  const into = { path: [...LIST, 2, "do"], at: 1 }
  expect(after(moveTo([flow], range("n1", "n2"), into))).toBe("for -c -a -b -d e")
  expect(after(moveTo([flow], range("n4", "n5"), { path: LIST, at: 1 }))).toBe("a c d b for e")
  expect(after(moveTo([flow], range("n1", "n2"), { path: LIST, at: 4 }))).toBe("for -c -d e a b")
  expect(moveTo([flow], range("n3"), into)).toEqual([])
  expect(moveTo([flow], range("n1", "n2"), { path: LIST, at: 1 })).toEqual([])
})

test("several are deleted, copied and wrapped at once", () => {
  expect(after(deleteAll(range("n1", "n3")))).toBe("e")
  expect(after(duplicateAll(range("n1")))).toBe("a a b for -c -d e")
  expect(after(duplicateAll(range("n2", "n1")))).toBe("a b a b for -c -d e")
  expect(after(wrapAll(range("n1", "n2"), "try"))).toBe("try -a -b for -c -d e")
  expect(after(wrapAll(range("n4"), "if"))).toBe("a b for -if --c -d e")
})

test("a new step comes behind what is selected, or into the list that is", () => {
  expect(placeAfter(flow, TRIGGER)).toEqual({ path: LIST, at: 0 })
  expect(placeAfter(flow, null)).toEqual({ path: LIST, at: 4 })
  expect(placeAfter(flow, "n4")).toEqual({ path: [...LIST, 2, "do"], at: 1 })
  expect(placeAfter(flow, "n3/do")).toEqual({ path: [...LIST, 2, "do"], at: 2 })
})
