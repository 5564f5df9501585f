import { describe, expect, test } from "vitest"
import {
  conditionOf,
  parse,
  step,
  withAdded,
  withItem,
  written,
  writtenCondition,
} from "./expression"
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
        "a = 1 and b = 2 or c",
        "a = 1 and (b = 2\n  or (c and d != null))",
        "( a = 1 )",
        "((a or b))",
        "(a = 1) and(b = 2)",
      ],
      formula: [
        "",
        " ",
        "1",
        "true",
        "$now()",
        "a + 1",
        "(a)",
        "a = 1 and (b",
        "a = 1) and b",
        "a and (b ? c : d)",
        `${"(".repeat(20)}a or b${")".repeat(20)}`,
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
    expect(conditionOf("event.paid")?.items).toEqual([
      { left: "event.paid", operator: "holds", right: null },
    ])
    expect(conditionOf("$not(a)")).toBeNull()
  })

  const read = (text: string) => {
    const found = conditionOf(text)
    if (found === null) throw new Error(text)
    return found
  }
  const row = { left: "z", operator: "holds" as const, right: null }

  test("and binds closer than or, and parentheses group", () => {
    const { join, items } = read("a = 1 and b or c")
    expect([join, items.length]).toEqual(["or", 2])
    expect(items[0]).toMatchObject({ join: "and", items: [{ left: "a" }, { left: "b" }] })
    expect(read("a and (b or c)").items[1]).toMatchObject({ join: "or", parens: true })
  })

  test("what was not edited keeps its text", () => {
    const text = "a  =  'x'\n  and (b=1 or c [0] = 2) and d"
    const found = read(text)
    expect(writtenCondition(found)).toBe(text)
    const changed = (at: number, next: Parameters<typeof withItem>[2]) => {
      const made = withItem(found, at, next)
      return made === null ? null : writtenCondition(made)
    }
    expect(changed(2, row)).toBe("a  =  'x'\n  and (b=1 or c [0] = 2) and z")
    expect(changed(0, null)).toBe("(b=1 or c [0] = 2) and d")
    const group = found.items[1]
    if (group === undefined || !("items" in group)) throw new Error("no group")
    expect(changed(1, withItem(group, 0, row))).toBe("a  =  'x'\n  and (z or c [0] = 2) and d")
    expect(changed(1, withItem(group, 0, null))).toBe("a  =  'x'\n  and c [0] = 2 and d")
    expect(changed(1, withAdded(group, row))).toBe("a  =  'x'\n  and (b=1 or c [0] = 2 or z) and d")
    expect(writtenCondition({ ...found, join: "or", source: undefined })).toBe(
      "a  =  'x'\n  or (b=1 or c [0] = 2) or d",
    )
  })

  test("a joiner that is changed leaves the groups as they are", () => {
    const joined = (text: string, join: "and" | "or") =>
      writtenCondition({ ...read(text), join, source: undefined })
    expect(joined("a and b or c", "and")).toBe("(a and b) and c")
    expect(joined("(a or b) and c", "or")).toBe("(a or b) or c")
    expect(writtenCondition(withAdded(read('a = "x"and b'), row))).toBe('a = "x" and b and z')
  })

  test("a group that is alone is the condition", () => {
    const found = withItem(read("a and (b or c)"), 0, null)
    expect(found && [found.join, writtenCondition(found)]).toEqual(["or", "(b or c)"])
    expect(withItem(read("a = 1"), 0, null)).toBeNull()
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
