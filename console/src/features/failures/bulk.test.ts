import { beforeAll, expect, test } from "vitest"
import { shownState } from "~/api/bulks"
import { i18n } from "~/phrases"
import { endOf } from "./bulk"
import { titleOf } from "./bulks"
import type { Cause } from "./page"

beforeAll(() => i18n.loadAndActivate({ locale: "en", messages: {} }))

test("a bulk that has ended says how many of its replays failed again, and not that it succeeded", () => {
  expect(shownState("succeeded")).toBe("ended")
  expect(shownState("failed")).toBe("failed")
  expect(endOf({ done: 10, started: { failed: 10 } })).toBe("10 replayed, 10 failed again")
  expect(endOf({ done: 10, started: { succeeded: 10 } })).toBe("10 replayed")
})

test("a bulk by its cause says which that is", () => {
  const causes = [{ cause: "3f2a", text: "Timeout at shop.create" }] as Cause[]
  const bulk = {
    do: "replay" as const,
    wanted: { where: { integration: "orders", cause: "3f2a" } },
  }
  expect(titleOf(bulk, causes)).toBe("replay: orders · Timeout at shop.create")
  expect(titleOf(bulk)).toBe("replay: orders")
  expect(titleOf({ do: "dismiss", wanted: { where: {} } }, causes)).toBe("dismiss")
})
