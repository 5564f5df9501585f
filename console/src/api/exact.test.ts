import { expect, test } from "vitest"
import { faultOf, parseExact, pretty, preview } from "./exact"

const NAMES = new Set(["result", "inputs"])

test("members of certain names keep their text, all others are parsed", () => {
  const text = `{"took": 12.5, "steps": [{"inputs": {"id": 9007199254740993, "result": 1.10},
    "result" : "a \\"quoted\\" }", "name":"inputs"}, {"inputs":[1.0,{"a":"]"}],"result":null}], "result": 1.00}`
  expect(parseExact(text, NAMES)).toEqual({
    took: 12.5,
    steps: [
      {
        inputs: '{"id": 9007199254740993, "result": 1.10}',
        result: '"a \\"quoted\\" }"',
        name: "inputs",
      },
      { inputs: '[1.0,{"a":"]"}]', result: null },
    ],
    result: "1.00",
  })
})

test("values that hold the names in texts are left as they are", () => {
  const value = { a: '"result":', result: { deep: ["\\", '"'] }, inputs: "" }
  expect(parseExact(JSON.stringify(value), NAMES)).toEqual({
    a: '"result":',
    result: JSON.stringify(value.result),
    inputs: '""',
  })
})

test("JSON is laid out over lines without a change of its numbers", () => {
  expect(pretty('{"a":[1.10,90071992547409931],"b":{},"c":[ ],"d":{"e":null}}')).toBe(
    '{\n  "a": [\n    1.10,\n    90071992547409931\n  ],\n  "b": {},\n  "c": [],\n  "d": {\n    "e": null\n  }\n}',
  )
})

test("what is no JSON is left as it is", () => {
  expect(pretty("<b>no</b>")).toBe("<b>no</b>")
  expect(pretty('{"a": 1')).toBe('{"a": 1')
})

test("a preview is one short line", () => {
  expect(preview('"a\\nb"')).toBe("a b")
  expect(preview(`"${"x".repeat(500)}"`, 10)).toBe(`${"x".repeat(9)}…`)
  expect(preview('{"a": 1.0}')).toBe('{"a": 1.0}')
})

test("a text that is no JSON says where", () => {
  expect(faultOf('{"a": 1}')).toBeNull()
  expect(faultOf('{"a": 1,}')).toContain("line 1 column 9")
  expect(faultOf('{"a": x}')).toContain("'x'")
  for (const [text, place] of [
    ['{"a": x}', "line 1 column 7"],
    ['{\n  "a": [1, {}, "\\u00e4"],\n  "b": }', "line 3 column 8"],
    ['{"a": 1', "line 1 column 8"],
    ["[1,\n2\n,]", "line 3 column 2"],
    ["no", "line 1 column 1"],
    ["{} 1", "line 1 column 4"],
    ["", "line 1 column 1"],
  ] as const) {
    expect(faultOf(text)?.endsWith(`(${place})`), `${text}: ${faultOf(text)}`).toBe(true)
  }
  expect(faultOf("no")).not.toContain("valid JSON")
})

test("what the browser takes as JSON has no place of a fault, and the reverse", () => {
  for (const text of ["[]", "{}", '{"a":{"b":[]}}', "-1.5e+3", " [null , true]\n", '"\\""']) {
    expect(faultOf(text)).toBeNull()
    expect(faultOf(`${text}]`)).toContain(`column ${(text.split("\n").at(-1) ?? "").length + 1})`)
  }
})
