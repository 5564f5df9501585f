import { expect, test } from "vitest"
import { has } from "./combobox"

test("an option is found by the words of all that it shows, in any order", () => {
  const option = {
    value: "begin_bulk",
    label: "begin bulk",
    hint: "For many",
    detail: "Replay, cancel or dismiss executions by a filter.",
  }
  for (const each of ["", "bulk", "Executions replay", "begin_b", "for many"])
    expect(has(option, each)).toBe(true)
  expect(has(option, "replay one")).toBe(false)
})
