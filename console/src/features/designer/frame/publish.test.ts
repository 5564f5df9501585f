import { expect, test } from "vitest"
import { proposedTarget } from "./publish"

test("the target is proposed that the last publication had, but never what customers get", () => {
  expect(proposedTarget(undefined, null)).toBe("dev")
  expect(proposedTarget({ dev: "new", staging: "new" }, "new")).toBe("dev")
  expect(proposedTarget({ dev: "old", staging: "new" }, "new")).toBe("staging")
  expect(proposedTarget({ dev: "old", production: "new", offered: "new" }, "new")).toBe("")
  expect(proposedTarget({ dev: "old" }, "new")).toBe("")
})
