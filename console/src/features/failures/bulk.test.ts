import { beforeAll, expect, test } from "vitest"
import { shownState } from "~/api/bulks"
import { i18n } from "~/phrases"
import { endOf } from "./bulk"

beforeAll(() => i18n.loadAndActivate({ locale: "en", messages: {} }))

test("a bulk that has ended says how many of its replays failed again, and not that it succeeded", () => {
  expect(shownState("succeeded")).toBe("ended")
  expect(shownState("failed")).toBe("failed")
  expect(endOf({ done: 10, started: { failed: 10 } })).toBe("10 replayed, 10 failed again")
  expect(endOf({ done: 10, started: { succeeded: 10 } })).toBe("10 replayed")
})
