import { expect, test } from "vitest"
import { Digits } from "../draft/digits"
import { keysOf, type Row, RowLog, type RunEnd } from "../run/rows"
import { flowOf } from "../tree/testing"
import { testOf } from "./made"

const flow = flowOf([
  { id: "got", action: "shop.find" },
  { for: "line", in: "=event.lines", do: [{ action: "shop.reserve" }] },
  { call: "ship", event: "=event" },
  { action: "table.sum" },
])
const END: RunEnd = {
  state: "succeeded",
  reason: "",
  result: "0.12345678901234567890",
  failure: null,
  where: "",
  path: null,
  logs: [],
  events: [],
  cut: false,
  config: '{"rate": 1.10}',
}

function row(path: (string | number)[], part: Partial<Row>): Row {
  return {
    path: ["flows", "one", "steps", ...path],
    item: [],
    execution: 0,
    state: "succeeded",
    inputs: null,
    gave: null,
    error: null,
    took_ms: 1,
    source: "sample",
    stale: false,
    ...part,
  }
}

const value = (text: string) => ({ text, size: text.length, cut: false })

test("a run becomes a test: what was answered is stubbed, in turn where it differed", () => {
  const log = new RowLog(keysOf([flow]))
  log.add(row([0], { gave: value('{"n":1.5}') }))
  log.add(row([1, "do", 0], { item: [0], gave: value("1") }))
  log.add(
    row([1, "do", 0], { item: [1], state: "failed", error: { kind: "E", message: "sold out" } }),
  )
  log.add(row([2], { source: null, gave: value('"s1"') }))
  log.add(row([3], { source: "real", gave: value("3") }))
  expect(testOf("all", flow, log, END, '{"lines":[1,2]}', "")).toEqual({
    test: {
      name: "all",
      flow: "one",
      config: { rate: new Digits("1.10") },
      event: { lines: [1, 2] },
      stubs: {
        "shop.find": { n: 1.5 },
        "shop.reserve": { $sequence: [1, { $error: "sold out" }] },
        ship: "s1",
      },
      answer: new Digits("0.12345678901234567890"),
    },
  })
  // Of a run with real effects, what was called is told apart from what is pure by nothing.
  const real = testOf("all", flow, log, END, null, "", "real")
  expect("test" in real && real.test["stubs"]).toMatchObject({ "table.sum": 3 })
})

test("one that failed says why, and what has no end or no whole answer is refused", () => {
  const log = new RowLog(keysOf([flow]))
  const failed: RunEnd = { ...END, state: "failed", config: "{}", reason: "no", result: null }
  expect(testOf("x", flow, log, failed, null, "")).toEqual({
    test: { name: "x", flow: "one", outcome: "failed", reason: "no" },
  })
  expect(testOf("x", flow, log, null, null, "")).toEqual({ refused: "unfinished" })
  log.add(row([0], { gave: { text: '{"n', size: 9_000, cut: true } }))
  expect(testOf("x", flow, log, END, null, "")).toEqual({ refused: "cut" })
})
