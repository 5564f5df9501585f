import { beforeAll, expect, test } from "vitest"
import { i18n } from "~/phrases"
import { withTyped } from "./fields"
import { controlsOf } from "./schema"
import { shownOf } from "./shown"

beforeAll(() => i18n.loadAndActivate({ locale: "en", messages: {} }))

test("what was filled in is read back in words, not as it is sent", () => {
  const controls = controlsOf({
    type: "object",
    properties: {
      channel: { type: "string", "x-source": { depends: [], open: false, search: false } },
      region: { enum: ["eu", "us"], "x-labels": { eu: "Europe", us: "United States" } },
      fields: { type: "object", additionalProperties: { enum: ["phone", "city"] } },
      tags: { type: "array", items: { type: "string" } },
      on: { type: "boolean" },
    },
  })
  const labels = (name: string, raw: string) =>
    name === "channel" && raw === '"C1"' ? "#general" : undefined
  const shown = (name: string, raw: never) =>
    shownOf(
      controls.find((each) => each.name === name),
      raw,
      labels,
    )
  expect(shown("channel", '"C1"' as never)).toBe("#general")
  expect(shown("channel", '"C2"' as never)).toBe("C2")
  expect(shown("region", '"eu"' as never)).toBe("Europe")
  expect(shown("fields", [["mobile", '"phone"']] as never)).toBe("mobile → phone")
  expect(shown("tags", ["a", "b"] as never)).toBe("a, b")
  expect([
    shown("on", true as never),
    shown("tags", [] as never),
    shown("channel", "" as never),
  ]).toEqual(["yes", "–", "–"])
})

test("what is typed is offered as it is once the app has listed what fits", () => {
  const general = { value: '"C1"', label: "general" }
  expect(withTyped([], "general", true)).toEqual([])
  expect(withTyped([general], "general", false)).toEqual([general])
  const values = withTyped([general], "gen", false).map((each) => each.value)
  expect(values).toEqual(['"C1"', '"gen"'])
})
