import { expect, test } from "vitest"
import { controlFor, nameFault, pagesOf, schemaOf } from "./schema"

const field = (held: Record<string, never> | object) => ({ name: "some_field", held: { ...held } })

test("a field's control is as an activation has it", () => {
  for (const [held, wanted] of [
    [{}, { kind: "text", required: true, title: "Some field" }],
    [
      { type: "integer", default: 3 },
      { kind: "number", integer: true, required: false, initial: 3 },
    ],
    [
      { type: "decimal", minimum: 0, maximum: 100 },
      { kind: "number", exact: true, least: 0, most: 100 },
    ],
    [
      { type: "text", maximum: 3, required: false },
      { kind: "text", longest: 3, required: false },
    ],
    [{ type: "boolean", default: false }, { kind: "boolean" }],
    [{ type: "date" }, { kind: "date" }],
    [
      { type: "url", title: "Where" },
      { kind: "text", title: "Where", pattern: "^https?://\\S+$" },
    ],
    [
      { choices: { eu: "Europe" } },
      { kind: "choice", choices: [{ value: '"eu"', label: "Europe" }] },
    ],
    [{ choices: ["a"], multiple: true }, { kind: "list" }],
    [{ type: "mapping", to: ["name"] }, { kind: "mapping" }],
    [
      { source: "acme.list_teams", open: true },
      { kind: "choice", source: { open: true } },
    ],
  ] as const) {
    expect(controlFor(field(held)), JSON.stringify(held)).toMatchObject(wanted)
  }
  expect(controlFor(field({ connection: "acme" }))).toBeNull()
  expect(schemaOf(field({ default: 1 })).default).toBe(1)
})

test("half a config has pages too", () => {
  expect(pagesOf(null)).toEqual([])
  expect(pagesOf({ One: { a: null, b: { type: "text" } }, Two: "x" })).toEqual([
    {
      name: "One",
      fields: [
        { name: "a", held: {} },
        { name: "b", held: { type: "text" } },
      ],
    },
    { name: "Two", fields: [] },
  ])
})

test("names that a field cannot have are refused by why", () => {
  const pages = pagesOf({ One: { region: {} } })
  expect(
    ["region", "class", "1a", "", "_a", "a-b", "ok"].map((each) => nameFault(each, pages)),
  ).toEqual(["taken", "reserved", "form", "form", "form", "form", null])
})
