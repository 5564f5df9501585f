import { answerOf as called, api } from "~/api/client"
import { parseDigits } from "../draft/digits"
import type { FlowOutline, OutlineNode } from "../draft/types"
import { type Json, same } from "../fields/model"
import { keyOf, type Row, type RowLog, type RunEnd } from "../run/rows"

/** A run as a test of the document, or why it cannot become one. */
export type MadeTest = { test: { [name: string]: Json } } | { refused: "cut" | "unfinished" }

/** Make a test of a run: its config, its event, what actions and called flows answered, and how it ended. */
export function testOf(
  name: string,
  flow: FlowOutline,
  log: RowLog,
  end: RunEnd | null,
  event: string | null,
  signals: string,
  effects: "stubbed" | "real" = "stubbed",
): MadeTest {
  if (end === null || !["succeeded", "failed", "ignored"].includes(end.state)) {
    return { refused: "unfinished" }
  }
  const names = new Map<string, string>()
  const walk = (nodes: readonly OutlineNode[]) => {
    for (const node of nodes) {
      const called = node.fields[node.kind]
      const stubbed = node.kind === "action" || node.kind === "call"
      if (stubbed && typeof called === "string") names.set(keyOf(node), called)
      for (const block of node.blocks) walk(block.nodes)
    }
  }
  walk(flow.steps)
  const answers = new Map<string, Json[]>()
  for (const { key, row } of log.all) {
    const called = names.get(key)
    // Pure actions run in a test, too; a run with real effects does not tell which these are.
    const pure = row.source === "real" && effects === "stubbed"
    if (called === undefined || row.execution !== 0 || pure) continue
    if (row.state === "waiting") continue
    const answer = answerOf(row)
    if (answer === null) return { refused: "cut" }
    answers.set(called, [...(answers.get(called) ?? []), answer.value])
  }
  const test: { [name: string]: Json } = { name, flow: flow.name }
  if (end.config !== null && end.config !== "{}") test["config"] = parseDigits(end.config) as Json
  if (event !== null) test["event"] = parseDigits(event) as Json
  if (signals.trim() !== "") test["signals"] = parseDigits(signals) as Json
  if (answers.size > 0) {
    test["stubs"] = Object.fromEntries(
      [...answers].map(([called, given]): [string, Json] => [called, inTurn(given)]),
    )
  }
  if (end.state !== "succeeded") {
    test["outcome"] = end.state
    if (end.reason !== "") test["reason"] = end.reason
  } else if (end.result !== null && end.result !== "null") {
    test["answer"] = parseDigits(end.result) as Json
  }
  return { test }
}

function answerOf(row: Row): { value: Json } | null {
  if (row.error !== null) return { value: { $error: row.error.message } }
  if (row.gave === null) return { value: null }
  return row.gave.cut ? null : { value: parseDigits(row.gave.text) as Json }
}

/** One answer for all calls where they were answered alike. */
function inTurn(given: Json[]): Json {
  const [first = null] = given
  return given.every((each) => same(each, first)) ? first : { $sequence: given }
}

/** Complete a test of a run with what it expects: the calls with their inputs, and what is kept. */
export async function expectedTest(
  draft: string,
  revision: number,
  test: { [name: string]: Json },
): Promise<Json> {
  const text = await called(
    api.POST("/api/drafts/{draft}/tests/expect", {
      params: { path: { draft } },
      body: { test, revision },
      parseAs: "text",
    }),
  )
  return (parseDigits(text) as { test: Json }).test
}

/** Add a test of an execution to a draft; return its name, and what it does not compare. */
export function testOfExecution(draft: string, revision: number, execution: string, name: string) {
  return called(
    api.POST("/api/drafts/{draft}/tests/from", {
      params: { path: { draft }, header: { "if-match": `"${revision}"` } },
      body: { execution, ...(name.trim() === "" ? {} : { name: name.trim() }) },
    }),
  )
}
