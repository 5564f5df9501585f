import { plural } from "@lingui/core/macro"
import type { LaidOut, Step } from "~/api/execution"
import type { Schemas } from "~/api/client"

type Node = Schemas["OutlineNode"]
type Run = LaidOut["nodes"][number]
type Path = Run["path"]

export type Items = { ended: number; failed: number }

/** A line of what a flow may do, with what an execution did of it. */
export type Line = {
  key: string
  depth: number
  kind: string
  title: string
  /** True where the title is a part of the flow's text. */
  coded: boolean
  /** The state of its last step; null where it recorded none. */
  state: "succeeded" | "failed" | "retrying" | "waiting" | "cancelled" | null
  /** How often it was come to; null where that is not known. */
  times: number | null
  /** Of a loop that goes on behind items that fail: how many have ended, and how many of them failed. */
  items: Items | null
  /** Its steps, in their order. */
  steps: Step[]
  /** False where the execution did not come to it; null where that is not known. */
  taken: boolean | null
  /** True where it stands now. */
  here: boolean
}

const keyOf = (path: Path): string => JSON.stringify(path)
const WAITS = new Set(["sleep", "signal", "call"])

export function stateOf(step: Step): Line["state"] {
  if (step.status === "retrying" && WAITS.has(step.kind)) return "waiting"
  return step.status as Line["state"]
}

/**
 * Lay an execution's steps over the outline of its flow; without one, list them as they ran.
 *
 * `over`: it has ended, and what waited then waits no more.
 */
export function linesOf(steps: readonly Step[], laid: LaidOut | null, over = false): Line[] {
  const lines = linesAsRecorded(steps, laid)
  if (!over) return lines
  const open = (state: Line["state"]) => state === "waiting" || state === "retrying"
  return lines.map((each) => (open(each.state) ? { ...each, state: "cancelled" } : each))
}

function linesAsRecorded(steps: readonly Step[], laid: LaidOut | null): Line[] {
  if (laid === null) return steps.map(lineOfStep)
  const byPath = new Map(steps.map((each) => [each.path, each]))
  const runs = new Map(laid.nodes.map((each) => [keyOf(each.path), each]))
  const at = laid.at === null ? null : keyOf(laid.at)
  const placed = new Set<string>()
  const found: Line[] = []
  // A node of which nothing is recorded was come to where one inside it was.
  const around = new Set<string>()
  if (!laid.followed) {
    for (const { path } of laid.nodes) {
      for (let end = path.length - 1; end > 0; end--) around.add(keyOf(path.slice(0, end)))
    }
  }

  const add = (path: Path, kind: string, title: string, depth: number, coded = false) => {
    const key = keyOf(path)
    const run: Run | undefined = runs.get(key)
    const own = (run?.steps ?? []).flatMap((each) => byPath.get(each) ?? [])
    for (const each of own) placed.add(each.path)
    const items = run === undefined ? null : itemsOf(run)
    found.push({
      key,
      depth,
      kind,
      title,
      coded,
      state: (items?.failed ?? 0) > 0 ? "failed" : (run?.state ?? null),
      items,
      times: run?.times ?? (own.length > 0 ? own.length : null),
      steps: own,
      taken: run !== undefined || around.has(key) || (laid.followed ? false : null),
      here: key === at,
    })
  }
  const addNodes = (nodes: readonly Node[], depth: number) => {
    for (const node of nodes) {
      add(node.path, node.kind, titleOf(node), depth, !node.title)
      for (const block of node.blocks) {
        if (block.nodes.length === 0) continue
        const named = node.blocks.filter((each) => each.nodes.length > 0).length > 1
        if (named) add(block.path, "block", block.title || String(block.path.at(-1)), depth + 1)
        addNodes(block.nodes, depth + (named ? 2 : 1))
      }
    }
  }
  add([...laid.flow.path, "trigger"], "trigger", laid.flow.trigger, 0)
  addNodes(laid.flow.steps, 0)
  // Steps of which the text does not say which node made them: of Python, most of the time.
  const rest = steps.filter((each) => !placed.has(each.path))
  const traced = found.some((each) => each.taken === true && each.kind !== "trigger")
  if (rest.length > 0 && !traced) return [found[0] as Line, ...rest.map(lineOfStep)]
  return [...found, ...rest.map(lineOfStep)]
}

/** Return how many items of a loop ended, and failed; null of all else. */
function itemsOf({ items, failed_items: failed }: Run): Items | null {
  return items === null || failed === null ? null : { ended: items, failed }
}

/** Return the items of all loops of a flow together, and the address of the first in which one failed. */
export function failedItems(laid: LaidOut | undefined): (Items & { key: string }) | null {
  const loops = (laid?.nodes ?? []).flatMap((each) => {
    const items = itemsOf(each)
    return items === null || items.failed === 0 ? [] : [{ ...items, key: keyOf(each.path) }]
  })
  const [first] = loops
  if (first === undefined) return null
  const sum = (one: "ended" | "failed") => loops.reduce((total, each) => total + each[one], 0)
  return { key: first.key, ended: sum("ended"), failed: sum("failed") }
}

export type TraceRow = Schemas["StepRowView"]
export type LostItem = {
  /** Its place in the list, from 1. */
  item: number
  /** Why it failed; undefined where no step of it did. */
  error: TraceRow["error"] | undefined
  /** The path of the step of which it failed, where that was recorded. */
  step: string | undefined
}

/** Return the items of a loop that failed, by the rows of its execution: a step of their own did. */
export function lostItems(loop: string, rows: readonly TraceRow[]): LostItem[] {
  const depth = (JSON.parse(loop) as Path).length
  const within = rows.filter((each) => keyOf(each.path.slice(0, depth)) === loop)
  // `do`, and the number of the step there: what a `try` caught failed further in.
  const lost = within.filter((each) => each.state === "failed" && each.path.length === depth + 2)
  const placeOf = (row: TraceRow, places: number) =>
    keyOf([...row.path.slice(0, depth + 2), ...row.item.slice(0, places)])
  const places = lost[0]?.item.length ?? 0
  const raised = new Map(
    within.filter((row) => row.error !== null).map((row) => [placeOf(row, places), row]),
  )
  return lost.map((each) => {
    const row = raised.get(placeOf(each, places))
    const step = (row ?? each).steps.at(-1)
    return { item: (each.item.at(-1) ?? 0) + 1, error: row?.error, step }
  })
}

/** Say how many items of a loop failed. */
export function itemsText({ ended, failed }: Items): string {
  return plural(ended, { one: `${failed} of # item failed`, other: `${failed} of # items failed` })
}

function lineOfStep(step: Step): Line {
  const depth = step.path.split("/").length - 1
  return {
    key: step.path,
    depth,
    kind: step.kind,
    title: step.title || step.name,
    coded: false,
    state: stateOf(step),
    times: 1,
    items: null,
    steps: [step],
    taken: true,
    here: false,
  }
}

/** Return what people read of a node: its title, else its kind and the text that says most. */
export function titleOf(node: Node): string {
  if (node.title) return node.title
  const fields = node.fields as Record<string, unknown>
  const own = fields[node.kind]
  if (node.kind === "action") return textOf(own)
  if (node.kind === "for") return `for ${textOf(own)} in ${textOf(fields["in"])}`
  return own === undefined ? node.id || node.kind : `${node.kind} ${textOf(own)}`
}

/** Return a value of a document as one line. */
function textOf(value: unknown): string {
  if (typeof value === "string") return value
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  const members = Object.entries(value).map(([name, each]) => `${name} ${textOf(each)}`)
  return members.join(", ")
}

/** Where a step's result is from, where the execution did not run it: an earlier one, or a person. */
export function sourceOf(step: Step): "copied" | "said" | null {
  return step.said_by != null ? "said" : step.copied_from !== null ? "copied" : null
}

/**
 * The span of an execution on which its steps are drawn, in milliseconds. What it took over from an
 * earlier one is left out: that may have run days before.
 */
export function spanOf(steps: readonly Step[]): { from: number; length: number } {
  let from = Infinity
  let to = 0
  const own = steps.filter((each) => each.copied_from === null)
  for (const each of own) {
    from = Math.min(from, Date.parse(each.started_at))
    to = Math.max(to, Date.parse(each.ended_at))
  }
  return { from, length: Math.max(1, to - from) }
}
