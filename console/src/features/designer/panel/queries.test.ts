import { expect, test } from "vitest"
import type { DraftHandle } from "../draft/handle"
import { formQuery } from "./queries"

test("a form is asked for once the edit that may have chosen another is made", () => {
  const draft = { id: "drf_1", revision: 3, pending: 1 } as DraftHandle
  const path = ["flows", "one"]
  expect(formQuery(draft, path, "hubspot.change").enabled).toBe(false)
  const made = formQuery({ ...draft, revision: 4, pending: 0 }, path, "hubspot.change")
  expect(made.enabled).toBe(true)
  // What was stored before is no answer for what is stored now.
  expect(made.queryKey).not.toEqual(formQuery(draft, path, "hubspot.change").queryKey)
})
