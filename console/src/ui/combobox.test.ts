import { expect, test } from "vitest"
import { has } from "./combobox"

test("an option is found by the words of its label, its detail and its value, in any order", () => {
  const option = {
    value: "begin_bulk",
    label: "begin bulk",
    detail: "Replay, cancel or dismiss executions by a filter.",
  }
  for (const each of ["", "bulk", "Executions replay", "begin_b"])
    expect(has(option, each)).toBe(true)
  expect(has(option, "replay one")).toBe(false)
})
