import { expect, test } from "vitest"
import { lookUp, type Scoped, searched, treeOf } from "./tree"

const scoped = (name: string, schema: Record<string, unknown> | null, sample: string): Scoped => ({
  name,
  type: "",
  schema,
  absent: "",
  variable: false,
  given: null,
  sample,
})

const EVENT = {
  type: "object",
  properties: {
    order: { $ref: "#/$defs/Order" },
    "Account Id": { type: "string" },
  },
  $defs: {
    Order: {
      type: "object",
      properties: {
        total: { anyOf: [{ type: "null" }, { type: "number" }] },
        lines: { type: "array", items: { $ref: "#/$defs/Line" } },
        parent: { $ref: "#/$defs/Order" },
      },
    },
    Line: { type: "object", properties: { sku: { type: "string", description: "Ours." } } },
  },
}

const roots = treeOf([
  scoped("event", EVENT, '{"order":{"total":12345678901234567890.10,"lines":[{"sku":"a"}]}}'),
  scoped("known", null, "null"),
])

test("values are found by schemas before anything has come", () => {
  expect(lookUp(roots, "event.order.lines.sku")).toMatchObject({ type: "text", each: true })
  expect(lookUp(roots, "event.order.lines[0].sku")?.sample).toBe("a")
  expect(lookUp(roots, "event.`Account Id`")).toMatchObject({ path: "event.`Account Id`" })
  expect(lookUp(roots, "event.nothing")).toBeUndefined()
  expect(lookUp(roots, "known")).toMatchObject({ branches: false, value: undefined })
})

test("samples keep their digits, and those of a run come first", () => {
  expect(lookUp(roots, "event.order.total")?.sample).toBe("12345678901234567890.10")
  const ran = treeOf([scoped("event", EVENT, "null")], { event: { order: { more: "x" } } })
  expect(lookUp(ran, "event.order.more")).toMatchObject({ sample: "x", type: "text" })
})

test("a search finds what is near first, and ends in schemas that hold themselves", () => {
  const found = searched(roots, "order total")
  expect(found[0]?.path).toBe("event.order.total")
  expect(searched(roots, "", 7)).toHaveLength(7)
  const alike = treeOf([scoped("orders", EVENT, "null"), scoped("order", EVENT, "null")])
  expect(searched(alike, "order")[0]?.path).toBe("order")
  expect(searched(roots, "constructor")).toEqual([])
})

test("what the event has is found before what Halflap has by that name", () => {
  const event = { properties: { order: { properties: { customer: { type: "string" } } } } }
  const some = treeOf([scoped("customer", {}, "null"), scoped("event", event, "null")])
  const found = searched(some, "customer").map(({ path }) => path)
  expect(found).toEqual(["event.order.customer", "customer"])
})

test("of what nothing is known, a path is found as it was typed", () => {
  const some = treeOf([scoped("event", {}, "null"), scoped("known", { type: "string" }, "null")])
  expect(searched(some, "event.Id").map(({ path }) => path)).toEqual(["event.Id"])
  expect(searched(some, "event.Id =")).toEqual([])
  expect(searched(some, "evnt.Id")).toEqual([])
  expect(searched(roots, "event.order.nothing")).toEqual([])
})

test("names that are hostile are names", () => {
  const some = treeOf([
    scoped("event", { properties: { __proto__x: {}, constructor: {} } }, "null"),
  ])
  expect(lookUp(some, "event.constructor")?.name).toBe("constructor")
  expect(lookUp(some, "event.toString")).toBeUndefined()
})
