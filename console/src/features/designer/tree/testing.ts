import { nodeOf } from "../draft/predict"
import type { FlowOutline } from "../draft/types"

/** A flow of steps as a document writes them, for tests. */
export function flowOf(steps: unknown[]): FlowOutline {
  let count = 0
  const path = ["flows", "one", "steps"]
  const place = { file: "", line: 1, column: 1, end_line: 1 }
  return {
    name: "one",
    title: "One",
    description: "",
    trigger: "webhook.request",
    path: ["flows", "one"],
    place,
    fields: {},
    preprocess: false,
    shared: false,
    steps: steps.map((each, at) => nodeOf(each, [...path, at], () => `n${++count}`)),
  }
}
