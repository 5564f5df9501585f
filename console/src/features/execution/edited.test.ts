import { expect, test } from "vitest"
import { editedBy, originalOf } from "./edited"

const LINEAGE = [
  { id: "a", replay_of: null, edited: false },
  { id: "b", replay_of: "a", edited: false },
  { id: "c", replay_of: "b", edited: true },
  { id: "d", replay_of: "c", edited: false },
]

test("the original of an edited event is the first of what its lineage replays", () => {
  expect(["a", "b", "c", "d"].map((id) => originalOf(LINEAGE, id))).toEqual([null, null, "a", "a"])
  expect(originalOf(LINEAGE.slice(2), "d")).toBe("b")
})

test("an edit is told apart from one of a replay before", () => {
  const say = (id: string) => editedBy({ id, edited_by: "ada", lineage: LINEAGE as never })
  expect(say("c")).toBe("event edited by ada for this replay")
  expect(say("d")).toBe("event edited by ada for an earlier replay")
})
