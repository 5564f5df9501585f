import { expect, test } from "vitest"
import type { JsonText } from "~/api/exact"
import type { LogLine } from "~/api/execution"
import { asJsonLine, asTextLine } from "./log-file"

const line = {
  id: 3,
  at: "2026-11-30T10:00:00Z",
  level: "warning",
  message: "two\nlines",
  step: "",
  payload_hidden: false,
  fields: '{"total":9007199254740993}',
} as unknown as LogLine

test("a line of a log keeps the digits of its fields, as text and as JSON", () => {
  expect(asTextLine({ ...line, message: "low" })).toBe(
    '2026-11-30T10:00:00Z  warning  low  {"total":9007199254740993}',
  )
  expect(asTextLine({ ...line, message: "low", fields: "{}" as JsonText, customer: "cus_1" })).toBe(
    "2026-11-30T10:00:00Z  warning  cus_1  low",
  )
  expect(asTextLine(line)).not.toContain("\n")
  expect(asJsonLine(line)).toContain(',"fields":{"total":9007199254740993}}')
  expect(JSON.parse(asJsonLine(line))).toMatchObject({ id: 3, message: "two\nlines" })
})
