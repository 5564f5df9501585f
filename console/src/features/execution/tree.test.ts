import { expect, test } from "vitest"
import type { LaidOut, Step } from "~/api/execution"
import { failedItems, linesOf, lostItems, sourceOf, spanOf, type TraceRow } from "./tree"

const step = (path: string, more: Partial<Step> = {}): Step =>
  ({ path, name: path, title: "", kind: "action", status: "succeeded", ...more }) as Step
const node = (at: number, more: object = {}) => ({
  path: ["flows", "order", "steps", at],
  kind: "action",
  title: null,
  id: null,
  fields: { action: `http.${at}` },
  blocks: [],
  ...more,
})
const run = (path: unknown[], steps: string[], more: object = {}) => ({
  path,
  steps,
  times: steps.length || 1,
  items: null,
  failed_items: null,
  state: steps.length > 0 ? "succeeded" : null,
  ...more,
})

const laid = (steps: object[], nodes: object[], more: object = {}): LaidOut =>
  ({
    flow: { path: ["flows", "order"], trigger: "webhook.request", steps },
    nodes: [run(["flows", "order", "trigger"], ["trigger"]), ...nodes],
    followed: true,
    at: null,
    stopped: null,
    unplaced: [],
    ...more,
  }) as unknown as LaidOut

const loop = node(1, {
  kind: "for",
  fields: { for: "line", in: "=event.lines" },
  blocks: [
    {
      path: ["flows", "order", "steps", 1, "do"],
      title: null,
      nodes: [{ ...node(0), path: ["flows", "order", "steps", 1, "do", 0], title: "Reserve" }],
    },
  ],
})

test("without an outline, steps are listed as they ran, nested by their paths", () => {
  const lines = linesOf(
    [step("a"), step("b/c"), step("d", { status: "retrying", kind: "sleep" })],
    null,
  )
  expect(lines.map((each) => [each.title, each.depth, each.state])).toEqual([
    ["a", 0, "succeeded"],
    ["b/c", 1, "succeeded"],
    ["d", 0, "waiting"],
  ])
})

test("steps are laid over the outline, and what was not come to is shown as such", () => {
  const runs = [
    run(["flows", "order", "steps", 0], ["http.get"]),
    run(["flows", "order", "steps", 1], []),
    run(["flows", "order", "steps", 1, "do", 0], ["http.post", "http.post#2"]),
  ]
  const steps = [step("trigger"), step("http.get"), step("http.post"), step("http.post#2")]
  const lines = linesOf(steps, laid([node(0), loop, node(2)], runs))
  expect(lines.map((each) => [each.title, each.depth, each.times, each.taken])).toEqual([
    ["webhook.request", 0, 1, true],
    ["http.0", 0, 1, true],
    ["for line in =event.lines", 0, 1, true],
    ["Reserve", 1, 2, true],
    ["http.2", 0, null, false],
  ])
  expect(lines[3]?.steps.map((each) => each.path)).toEqual(["http.post", "http.post#2"])
})

test("a loop that went on says how many of its items failed, and leads to each", () => {
  const path = ["flows", "order", "steps", 1]
  const one = laid([loop], [run(path, [], { items: 3, failed_items: 2 })])
  expect(failedItems(one)).toEqual({ key: JSON.stringify(path), ended: 3, failed: 2 })
  expect(failedItems(laid([loop], [run(path, [], { items: 3, failed_items: 0 })]))).toBeNull()
  expect(linesOf([], one)[1]?.state).toBe("failed")
  const inner = [...path, "do", 0]
  const row = (path: unknown[], item: number, more: object = {}) =>
    ({
      path,
      item: [item],
      state: "failed",
      error: null,
      steps: [],
      ...more,
    }) as unknown as TraceRow
  const error = { kind: "StepFailed", message: "no" }
  const rows = [
    row(path, 0, { state: "succeeded", item: [] }),
    row(inner, 0, { steps: ["a"], error }),
    row(inner, 1, { state: "succeeded" }), // a `try`
    row([...inner, "try", 0], 1, { error }),
    row(inner, 2),
    row([...inner, "do", 0], 2, { steps: ["b"], error, item: [2, 4] }),
  ]
  expect(lostItems(JSON.stringify(path), rows)).toEqual([
    { item: 1, error, step: "a" },
    { item: 3, error, step: "b" },
  ])
})

test("of an outline that no step could be laid over, the steps alone are shown", () => {
  const lines = linesOf(
    [step("trigger"), step("fetch"), step("send")],
    laid([node(0), node(1)], []),
  )
  expect(lines.map((each) => each.title)).toEqual(["webhook.request", "fetch", "send"])
})

test("the branches of a node are named where there are several", () => {
  const branch = (name: string) => ({
    path: ["flows", "order", "steps", 0, name],
    title: null,
    nodes: [
      { ...node(0), path: ["flows", "order", "steps", 0, name, 0], title: name.toUpperCase() },
    ],
  })
  const either = node(0, {
    kind: "if",
    fields: { if: "=x" },
    blocks: [branch("then"), branch("else")],
  })
  const lines = linesOf([], laid([either], [run(["flows", "order", "steps", 0], [])]))
  expect(lines.map((each) => [each.title, each.depth])).toEqual([
    ["webhook.request", 0],
    ["if =x", 0],
    ["then", 1],
    ["THEN", 2],
    ["else", 1],
    ["ELSE", 2],
  ])
})

test("where an execution could not be followed, what recorded nothing is not said to be untaken", () => {
  const runs = [run(["flows", "order", "steps", 1, "do", 0], ["http.post"])]
  const lines = linesOf(
    [step("http.post")],
    laid([node(0), loop, node(2)], runs, { followed: false }),
  )
  expect(lines.map((each) => [each.title, each.taken])).toEqual([
    ["webhook.request", true],
    ["http.0", null],
    ["for line in =event.lines", true],
    ["Reserve", true],
    ["http.2", null],
  ])
})

test("what waited as an execution was cancelled waits no more", () => {
  const waits = step("a", { status: "retrying", kind: "signal" })
  expect(linesOf([waits], null).map((each) => each.state)).toEqual(["waiting"])
  expect(linesOf([waits], null, true).map((each) => each.state)).toEqual(["cancelled"])
})

test("the line where an execution stands is marked", () => {
  const at = ["flows", "order", "steps", 1]
  const lines = linesOf([], laid([node(0), node(1)], [run(at, [])], { at }))
  expect(lines.map((each) => each.here)).toEqual([false, false, true])
})

test("the span reaches from the first beginning to the last end", () => {
  const times = (from: string, to: string) => ({
    started_at: `2026-01-01T00:00:0${from}Z`,
    ended_at: `2026-01-01T00:00:0${to}Z`,
  })
  const own = { copied_from: null }
  const two = [step("a", { ...times("1", "2"), ...own }), step("b", { ...times("3", "5"), ...own })]
  expect(spanOf(two).length).toBe(4_000)
  const before = step("c", { ...times("0", "9"), copied_from: "exe_1" })
  expect(spanOf([before, ...two]).length).toBe(4_000)
  expect([before, ...two].map(sourceOf)).toEqual(["copied", null, null])
  expect(sourceOf(step("d", { said_by: "" }))).toBe("said")
  expect(spanOf([]).length).toBe(1)
})
