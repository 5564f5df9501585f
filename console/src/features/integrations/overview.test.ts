import { expect, test } from "vitest"
import type { Schemas } from "~/api/client"
import { type Call, lanesOf, overviewOf } from "./overview"

const place = { file: "a", line: 1, column: 1, end_line: 1 }
type Node = Schemas["OutlineNode"]
const node = (kind: string, fields: Record<string, string>, nodes: Node[] = []): Node => ({
  path: [],
  place,
  kind,
  title: null,
  id: null,
  fields,
  blocks: nodes.length === 0 ? [] : [{ path: [], place: null, title: null, nodes }],
})
const flow = (name: string, trigger: string, steps: Node[]): Schemas["FlowOutline"] => ({
  path: [],
  place,
  name,
  title: name,
  description: "",
  trigger,
  preprocess: false,
  shared: false,
  fields: {},
  steps,
})

test("two ways are arrows in both directions, and what begins without an app stands first", () => {
  const { apps, rows, calls } = overviewOf([
    flow("account", "salesforce.outbound_message", [
      node("if", {}, [node("action", { action: "acme.create_account" })]),
      node("action", { action: "salesforce.get_record" }),
    ]),
    flow("amount", "acme.changed", [node("action", { action: "salesforce.update_record" })]),
    flow("deploy", "instance.deploy", [node("action", { action: "acme.ensure_webhook" })]),
  ])
  expect(apps).toEqual(["instance", "salesforce", "acme"])
  expect(rows.map(({ from, arrows }) => [from, ...arrows.map((each) => each.to)])).toEqual([
    [1, 2],
    [2, 1],
    [0, 2],
  ])
  expect(rows[0]?.back).toEqual(["salesforce.get_record"])
  expect(calls).toEqual([])
})

test("a flow that another one starts begins beside the apps, once however often it is called", () => {
  const call = node("call", { call: "each" })
  const { apps, rows, calls } = overviewOf([
    flow("all", "schedule.every", [call, node("for", {}, [call]), node("call", { call: "gone" })]),
    flow("each", "instance.routed", [node("action", { action: "http.post" })]),
    flow("take", "webhook.request", [node("route", { flow: "each" })]),
  ])
  expect(apps).toEqual(["schedule", "webhook", "http"])
  expect(rows[1]?.from).toBe(3)
  expect(calls).toEqual([
    { from: 0, to: 1, hands: false },
    { from: 2, to: 1, hands: true },
  ])
})

test("calls that pass each other have lanes of their own", () => {
  const call = (from: number, to: number): Call => ({ from, to, hands: false })
  expect(lanesOf([call(0, 3), call(1, 2), call(5, 4), call(3, 5)])).toEqual([0, 1, 0, 1])
})
