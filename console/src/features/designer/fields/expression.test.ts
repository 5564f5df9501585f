import { describe, expect, test } from "vitest"
import { conditionOf, parse, step, written } from "./expression"
import { Digits } from "../draft/digits"
import {
  asStored,
  modelOf,
  numberOf,
  partsOf,
  plainJson,
  same,
  typedParts,
  valueOfParts,
  valueOfTyped,
} from "./model"

const kinds = (some: Record<string, string[]>) =>
  Object.entries(some).flatMap(([kind, each]) => each.map((text) => [kind, text] as const))

describe("expressions", () => {
  test.each(
    kinds({
      path: ["event.order.id", "known", "event.`Account Id`.x", "lines[0].sku", "lines[-1]"],
      text: ['"Order " & event.number', "a & b", "'it' & x & \"y\"", '"only"', '"\\u00e9\\n" & a'],
      condition: [
        'event.kind = "paid"',
        "known = null",
        "a.b != 1.50 and c <= -2 and d",
        "a = 1 or b in ['x', 'y']",
        '$contains(event.name, "x") and event.paid',
      ],
      formula: [
        "",
        " ",
        "1",
        "true",
        "$now()",
        "a + 1",
        "a = 1 and b = 2 or c",
        "(a)",
        "a.b[c = 1]",
        'a = "x" & b',
        "a.(b)",
        "a ? b : c",
        "a ?? b",
        "a /* why */ = 1",
        "a.true",
        "and",
        "a..b",
        "a = b = c",
        '"x" = a',
        "a & 1",
        'a"b',
        "a`b`",
        "1a = 2",
        "a.",
        "a &",
        '"open',
        "'\\''",
        "x".repeat(10_001),
        "a[1.5]",
        "a in 'x'",
      ],
    }),
  )("%s: %s", (kind, text) => {
    const found = parse(text)
    expect(found.kind).toBe(kind)
    const again = written(found)
    // What is written is read as the same.
    if (again !== null) expect(parse(again)).toEqual(found)
  })

  test("a condition may be a path alone", () => {
    expect(conditionOf("event.paid")?.rows).toEqual([
      { left: "event.paid", operator: "holds", right: null },
    ])
    expect(conditionOf("$not(a)")).toBeNull()
  })

  test("numbers keep their digits", () => {
    const text = "a = 12345678901234567890.10 and b > -0.50"
    expect(written(parse(text))).toBe(text)
  })

  test("names are written as paths have them", () => {
    expect([step("a1"), step("and"), step("Account Id"), step("`"), step("")]).toEqual([
      "a1",
      "`and`",
      "`Account Id`",
      null,
      null,
    ])
  })
})

describe("values", () => {
  test("what is no expression is itself", () => {
    expect(modelOf("a")).toEqual({ kind: "constant", value: "a" })
    expect(modelOf("==a")).toEqual({ kind: "constant", value: "=a" })
    expect(modelOf(undefined)).toEqual({ kind: "absent" })
    expect(modelOf({ a: 1 })).toEqual({ kind: "object", members: [["a", 1]] })
    expect(modelOf("=$sum(a)")).toEqual({ kind: "formula", expression: "$sum(a)" })
  })

  test.each(["", "plain", "==x", "===x", "=event.a", '="Order " & event.n & "!"', "a\nb", '"q"'])(
    "text with values is written as it was: %j",
    (value) => {
      const parts = partsOf(value)
      expect(parts).not.toBeNull()
      expect(valueOfParts(parts ?? [])).toBe(value)
    },
  )

  test("parts that hold no value are a text", () => {
    expect(valueOfParts([{ text: "=" }, { text: "a" }])).toBe("==a")
    expect(valueOfParts([{ text: 'say "' }, { path: "a" }, { text: "" }])).toBe('="say \\"" & a')
    expect(asStored("=1")).toBe("==1")
    expect(partsOf("=a + 1")).toBeNull()
    expect(partsOf(1)).toBeNull()
  })

  test("where any value may stand, a number is one, and in quotes a text", () => {
    for (const [typed, value] of [
      ["5", 5],
      ['"5"', "5"],
      ["22.00", new Digits("22.00")],
      ["true", true],
      ['"null"', "null"],
      ["0123", "0123"],
      ["5 apples", "5 apples"],
      ['"5', '"5'],
    ] as const) {
      expect(valueOfTyped([{ text: typed }])).toEqual(value)
      expect(typedParts(value)).toEqual([{ text: typed }])
    }
  })

  test("numbers are exact", () => {
    expect(numberOf("12")).toBe(12)
    expect(numberOf("22.00")).toEqual(new Digits("22.00"))
    expect(numberOf("1e")).toBeNull()
    const value = { a: [new Digits("12345678901234567890")], b: "=x" }
    expect(plainJson(value)).toBe('{"a": [12345678901234567890], "b": "=x"}')
    expect(same(value, { a: [new Digits("12345678901234567890")], b: "=x" })).toBe(true)
    expect(same(value, { a: [1], b: "=x" })).toBe(false)
    expect(same({ a: undefined as never }, { b: undefined as never })).toBe(false)
  })
})
