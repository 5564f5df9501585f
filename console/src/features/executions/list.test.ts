import { expect, test } from "vitest"
import type { Summary } from "~/api/execution"
import { EMPTY, type List, type Page, withChanges, withNewest, withOlder } from "./list"

const row = (id: string, state: Summary["state"] = "running") => ({ id, state }) as Summary
const page = (ids: string, next: string | null = null): Page => ({
  items: Array.from(ids, (id) => row(id)),
  next,
})
const ids = (list: List) => list.rows.map((each) => each.id).join("")
const loaded = withOlder(withNewest(EMPTY, page("fe", "e"), false), page("dcb", "b"))

test("older pages are appended, without what is there", () => {
  expect(ids(loaded)).toBe("fedcb")
  expect(ids(withOlder(loaded, page("ba")))).toBe("fedcba")
})

test("new rows go on top, and the way to older ones stays", () => {
  const list = withNewest(loaded, page("hgf", "f"), false)
  expect(ids(list)).toBe("hgfedcb")
  expect(list.next).toBe("b")
})

test("while they are held, new rows wait and known ones are renewed", () => {
  const newest = { items: [row("g"), row("f", "failed")], next: "f" }
  const list = withNewest(loaded, newest, true)
  expect(ids(list)).toBe("fedcb")
  expect(list.rows[0]?.state).toBe("failed")
  expect(list.fresh.map((each) => each.id)).toEqual(["g"])
})

test("where more came than a page holds, the list begins anew", () => {
  expect(ids(withNewest(loaded, page("zyx", "x"), false))).toBe("zyx")
})

test("a row that left the filter stays in its place", () => {
  expect(ids(withNewest(loaded, page("gfdc", "c"), false))).toBe("gfedcb")
})

test("changes change their rows alone, and no end is undone by what was heard late", () => {
  const change = {
    execution: "e",
    state: "succeeded",
    at: "2026-01-01T00:00:00Z",
    attempt: 2,
    reason: "",
  }
  const list = withChanges(loaded, [change as never])
  expect(list.rows.map((each) => each.state)).toEqual([
    "running",
    "succeeded",
    "running",
    "running",
    "running",
  ])
  expect(withChanges(list, [{ ...change, state: "running" } as never]).rows[1]?.state).toBe(
    "succeeded",
  )
  expect(withChanges(loaded, [{ ...change, execution: "other" } as never])).toBe(loaded)
})
