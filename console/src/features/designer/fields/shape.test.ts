import { expect, test } from "vitest"
import { operandOf, typedOf } from "./conditions"
import { fits, shapeOf } from "./shape"
import { offeredFor } from "./value-field"

const DURATION = {
  anyOf: [
    { anyOf: [{ type: "string", pattern: "^[0-9]+s$|^=" }, { type: "number" }] },
    { type: "null" },
  ],
}
const DECIMAL = { anyOf: [{ type: "number" }, { type: "string", pattern: "^\\d+$" }] }

test.each([
  ["any", {}, true],
  ["any", null, true],
  ["any", { description: "The list.", title: "In" }, true],
  ["text", { type: "string" }, false],
  ["text", DURATION, true],
  ["number", { anyOf: [{ type: "integer" }, { type: "null" }] }, false],
  ["number", DECIMAL, false],
  ["boolean", { type: "boolean" }, false],
  ["choice", { enum: ["a", "b"], type: "string" }, false],
  ["date", { type: "string", format: "date" }, false],
  ["list", { type: "array", items: { type: "string" } }, false],
  ["map", { type: "object", additionalProperties: true }, false],
  ["object", { type: "object", properties: { a: { type: "string" } } }, false],
  ["any", { anyOf: [{ type: "object" }, { type: "integer" }] }, true],
] as const)("%s: %j", (kind, schema, templates) => {
  const found = shapeOf(schema, false)
  expect([found.kind, found.templates]).toEqual([kind, templates])
})

test("what an app lists may be chosen, also of an item", () => {
  const listed = { type: "string", "x-source": { depends: [], open: false, search: false } }
  expect(shapeOf(listed, true)).toMatchObject({ kind: "text", listed: true })
  expect(shapeOf({ anyOf: [listed, { type: "null" }] }, true).listed).toBe(true)
  expect(shapeOf({ type: "array", items: listed }, true).item?.listed).toBe(true)
  expect(shapeOf({ type: "string" }, true).listed).toBeUndefined()
})

test("a duration is a text, which no rule of numbers holds for", () => {
  expect(shapeOf(DURATION, true)).toEqual({ kind: "text", templates: true, numbers: true })
})

test("a field's own control takes what it can show", () => {
  const number = shapeOf({ type: "number" }, true)
  expect([fits(number, 1), fits(number, "=x"), fits(number, undefined), fits(number, [])]).toEqual([
    true,
    false,
    true,
    false,
  ])
  expect(fits(shapeOf({ enum: ["a"] }, true), "b")).toBe(false)
  const nested = shapeOf(
    {
      $ref: "#/$defs/N",
      $defs: { N: { type: "object", properties: { n: { $ref: "#/$defs/N" } } } },
    },
    true,
  )
  expect(nested.fields?.[0]?.shape.kind).toBe("object")
})

test("the right of a condition is a number where it is one", () => {
  for (const [typed, made] of [
    ["5", { number: "5" }],
    ['"5"', { text: "5" }],
    ["1.", { text: "1." }],
    ["paid", { text: "paid" }],
    ['"paid"', { text: '"paid"' }],
  ] as const) {
    expect(operandOf(typed)).toEqual(made)
    expect(typedOf(made)).toBe(typed)
  }
  expect(typedOf(operandOf("a, 2", true))).toBe("a, 2")
})

test("an open choice offers what matches, and what is typed where it is no choice", () => {
  const shape = shapeOf(
    { type: "string", enum: ["order.paid", "ticket.opened"], "x-open": true },
    false,
  )
  const values = (typed: string) =>
    offeredFor(shape, typed, "", "as typed").map((each) => each.value)
  expect([shape.kind, fits(shape, "ticket.*")]).toEqual(["choice", true])
  expect(values("")).toEqual(["order.paid", "ticket.opened"])
  expect(values("ticket")).toEqual(["ticket", "ticket.opened"])
  expect(values("ticket.*")).toEqual(["ticket.*"])
  expect(values("order.paid")).toEqual(["order.paid"])
})
