import { expect, test } from "vitest"
import { Digits } from "../draft/digits"
import type { FlowOutline, Path } from "../draft/types"
import { flowOf as made } from "../tree/testing"
import { keysOf, overlay, type Row, RowLog, samplesOf, snapshotOf, staleOf } from "./rows"
import { bodyOf } from "./store"
import { EventReader } from "./stream"

const LIST: Path = ["flows", "one", "steps"]

/** An action, a loop of two steps of which the second is a branch, and a step after it. */
const flowOf = (with_: unknown = { a: 0 }, log = "in it") =>
  made([
    { id: "first", action: "shop.find", with: with_ },
    {
      for: "line",
      in: "=event.lines",
      do: [{ set: { total: 1 } }, { if: "=line > 1", then: [{ log }] }],
    },
    { log: "at last" },
  ])

function row(path: Path, item: number[], part: Partial<Row> = {}): Row {
  return {
    path,
    item,
    execution: 0,
    state: "succeeded",
    inputs: null,
    gave: null,
    error: null,
    took_ms: 1,
    source: null,
    stale: false,
    ...part,
  }
}

const value = (text: string) => ({ text, size: text.length, cut: false })
const NONE: ReadonlySet<string> = new Set()

function logOf(flow: FlowOutline): RowLog {
  const log = new RowLog(keysOf([flow]))
  const body: Path = [...LIST, 1, "do"]
  log.add(row([...LIST, 0], [], { gave: value('{"n":1.50}') }))
  for (const at of [0, 1, 2]) {
    log.add(row([...body, 0], [at], { gave: value(`{"total":${at}}`) }))
    if (at === 1) log.add(row([...body, 1, "then", 0], [at]))
    log.add(row([...body, 1], [at]))
  }
  log.add(row([...LIST, 1], []))
  return log
}

test("cards show what the item that is chosen did, and count all", () => {
  const flow = flowOf()
  const laid = overlay(flow, logOf(flow), new Map([["n2", 2]]), 0, true, NONE)
  expect(laid.loops.get("n2")).toEqual({ at: 2, count: 3, failed: [] })
  expect(laid.cards.get("n3")).toMatchObject({ summary: '{"total":2}', count: 3 })
  expect(laid.cards.get("n5")).toMatchObject({ state: "skipped", count: 1 })
  expect(laid.cards.get("n6")?.state).toBe("skipped")
  expect([...laid.blocks.values()]).toEqual([3])
  const second = overlay(flow, logOf(flow), new Map([["n2", 1]]), 0, true, NONE)
  expect(second.cards.get("n5")?.state).toBe("succeeded")
  expect([...second.blocks.values()]).toEqual([1, 3])
})

test("nothing fades before the run is over, and the item that failed is shown first", () => {
  const flow = flowOf()
  const log = logOf(flow)
  log.add(row([...LIST, 1, "do", 0], [3], { state: "failed", error: { kind: "E", message: "no" } }))
  const laid = overlay(flow, log, new Map(), 0, false, NONE)
  expect(laid.loops.get("n2")).toEqual({ at: 3, count: 4, failed: [3] })
  expect(laid.cards.get("n3")).toMatchObject({ state: "failed", summary: "no" })
  expect(laid.cards.has("n6")).toBe(false)
})

test("a step that waited is told again as it goes on", () => {
  const flow = flowOf()
  const log = new RowLog(keysOf([flow]))
  log.add(row([...LIST, 0], [], { state: "waiting" }))
  log.add(row([...LIST, 0], []))
  log.add(row([...LIST, 9], []))
  expect(log.of("n1").map((each) => each.state)).toEqual(["succeeded"])
  expect(log.count).toBe(1)
})

test("what was edited is stale, with what comes after it and what it stands in", () => {
  const flow = flowOf()
  const before = snapshotOf([flow])
  expect(staleOf(before, flow).size).toBe(0)
  expect(staleOf(before, { ...flow, title: "Two" }).size).toBe(0)
  expect([...staleOf(before, flowOf(undefined, "another"))].sort()).toEqual([
    "n2",
    "n4",
    "n5",
    "n6",
  ])
  expect(staleOf(before, flowOf({ a: 1 })).has("n1")).toBe(true)
  expect(staleOf(before, { ...flow, trigger: "other" }).size).toBe(7)
})

test("names in scope have what the run gave, with all digits", () => {
  const flow = flowOf()
  const laid = overlay(flow, logOf(flow), new Map([["n2", 1]]), 0, true, NONE)
  const scope = [
    { name: "event", given: null },
    { name: "config", given: null },
    { name: "first", given: [...LIST, 0, "id"] },
    { name: "line", given: [...LIST, 1, "for"] },
    { name: "total", given: [...LIST, 1, "do", 0, "set", "total"] },
  ]
  const found = samplesOf(scope, flow, laid, '{"lines":[1,0.12345678901234567890,3]}')
  expect(JSON.stringify(Object.keys(found))).toBe('["event","first","total","line"]')
  expect(found["line"]).toEqual(new Digits("0.12345678901234567890"))
  expect(found["total"]).toBe(1)
})

test("events come whole, however their bytes are cut", () => {
  const text = 'event: row\ndata: {"path":["a\\n\\n"]}\n\nevent: end\ndata: {"state":"failed"}\n\n'
  for (let at = 0; at < text.length; at++) {
    const reader = new EventReader()
    const told = [...reader.take(text.slice(0, at)), ...reader.take(text.slice(at))]
    expect(told.map((each) => each.kind)).toEqual(["row", "end"])
  }
})

test("the event of a run is sent as it was typed", () => {
  const asked = {
    flow: "one",
    event: '{"n": 1.10}',
    execution: null,
    signals: "",
    config: "",
    effects: "stubbed" as const,
    unpinned: [],
  }
  expect(bodyOf(asked, 7)).toBe('{"flow":"one","revision":7,"event":{"n": 1.10}}')
  expect(bodyOf({ ...asked, execution: "exe_1", config: '{"rate": 1.10}' }, 7)).toBe(
    '{"flow":"one","revision":7,"execution":"exe_1","config":{"rate": 1.10}}',
  )
  expect(bodyOf({ ...asked, event: null, effects: "real", unpinned: ["n3"] }, 7)).toBe(
    '{"flow":"one","revision":7,"effects":"real","unpinned":["n3"]}',
  )
})
