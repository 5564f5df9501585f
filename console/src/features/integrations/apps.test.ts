import { expect, test } from "vitest"
import type { Schemas } from "~/api/client"
import { appsOf, componentOf, nameOf, stepsIn } from "./apps"

const place = { file: "a", line: 1, column: 1, end_line: 1 }
const node = (
  action: string | null,
  blocks: Schemas["NodeBlock"][] = [],
  title: string | null = null,
): Schemas["OutlineNode"] => ({
  path: [],
  place,
  kind: action === null ? "if" : "action",
  title,
  id: null,
  fields: action === null ? {} : { action },
  blocks,
})
const flow = (steps: Schemas["OutlineNode"][]): Schemas["FlowOutline"] => ({
  path: [],
  place,
  name: "order",
  title: "Order",
  description: "",
  trigger: "webhook.request",
  preprocess: false,
  shared: false,
  fields: {},
  steps,
})

test("the apps of a flow come once, in the order of the text, with what they are called for", () => {
  const inner = [node("salesforce.update", [], "Write it back"), node("check")]
  const found = flow([
    node("http.get"),
    node(null, [{ path: [], place: null, title: null, nodes: inner }]),
    node("http.post", [], "Send it"),
  ])
  expect(appsOf(found)).toEqual([
    { component: "http", calls: ["http.get", "Send it"] },
    { component: "salesforce", calls: ["Write it back"] },
  ])
  expect(stepsIn(found.steps)).toBe(5)
})

test("components are named by people's words", () => {
  expect(["shop:Shop", "salesforce", "two_way.changed"].map(componentOf)).toEqual([
    "shop",
    "salesforce",
    "two_way",
  ])
  expect(["two_way:Two", "http.get", "acme", "hubspot.change"].map(nameOf)).toEqual([
    "Two way",
    "HTTP",
    "Acme",
    "HubSpot",
  ])
})
