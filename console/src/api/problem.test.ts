import { beforeAll, expect, test } from "vitest"
import { i18n } from "~/phrases"
import { messageOf } from "./problem"

beforeAll(() => i18n.loadAndActivate({ locale: "en", messages: {} }))

const of = (kind: string, detail: string) => messageOf({ kind, detail })

test("headers and commands are not shown to people", () => {
  expect(of("Stale", "If-Match does not fit")).not.toContain("If-Match")
  expect(of("TokenRefused", "Send the token: Authorization: Bearer …")).not.toContain("Bearer")
  const missing = "no bulk has the id 'blk_1'; see: halflap bulks list"
  expect(of("NotFound", missing)).toBe("no bulk has the id 'blk_1'")
  const done = "no version of 'orders' is published; halflap deploy does that"
  expect(of("NotFound", done)).toBe("no version of 'orders' is published")
  expect(of("Removed", "it was removed, as its retention says (halflap instances retention)")).toBe(
    "it was removed, as its retention says",
  )
  expect(of("Conflict", "halflap is a name")).toBe("halflap is a name")
})
