import { predicted } from "../draft/predict"
import type { DraftEdit, FlowOutline, OutlineNode, Path } from "../draft/types"
import { blocksOf } from "./kinds"
import { listOf, samePath, type Spot, spotOf, startsWith, stepsOf, TRIGGER } from "./walk"

/** A place in a list where steps are put. */
export type Place = { path: Path; at: number }

/** The steps that are selected: some that follow each other in one list. */
export type Range = { first: Spot; last: Spot; nodes: OutlineNode[] }

/** Return the steps from one to another one of the same list; one alone where they are in two. */
export function rangeOf(
  flow: FlowOutline,
  selected: string | null,
  extent: string | null,
): Range | null {
  const one = selected === null ? null : spotOf([flow], selected)
  if (one === null) return null
  const found = extent === null ? one : spotOf([flow], extent)
  const other = found !== null && found.list.nodes === one.list.nodes ? found : one
  const [first, last] = one.at <= other.at ? [one, other] : [other, one]
  return { first, last, nodes: first.list.nodes.slice(first.at, last.at + 1) }
}

/** Return where a new step is put: behind the one that is selected, or into the list that is. */
export function placeAfter(flow: FlowOutline, selected: string | null): Place {
  const own = stepsOf(flow)
  if (selected === TRIGGER) return { path: own.path, at: 0 }
  const list = selected === null ? null : listOf([flow], selected)
  if (list !== null) return { path: list.path, at: list.nodes.length }
  const spot = selected === null ? null : spotOf([flow], selected)
  if (spot === null) return { path: own.path, at: own.nodes.length }
  return { path: spot.list.path, at: spot.at + 1 }
}

/** Move steps one place up or down; at an end of their list, out of it. */
export function moveBy(flow: FlowOutline, range: Range, way: "up" | "down"): DraftEdit[] {
  const { first, last } = range
  const { path, nodes } = first.list
  // The one beside them is moved instead: that is one edit, however many they are.
  if (way === "up" && first.at > 0) {
    return [{ op: "move", path: [...path, first.at - 1], to: path, at: last.at + 1 }]
  }
  if (way === "down" && last.at < nodes.length - 1) {
    return [{ op: "move", path: [...path, last.at + 1], to: path, at: first.at }]
  }
  return moveOut(flow, range, way === "up" ? 0 : 1)
}

/** Move steps out of the list that they are in: before (0) or behind (1) the step that holds it. */
export function moveOut(flow: FlowOutline, range: Range, behind: 0 | 1): DraftEdit[] {
  const holder = spotOf([flow], range.first.holders.at(-1)?.key ?? "")
  if (holder === null) return []
  return moveTo([flow], range, { path: holder.list.path, at: holder.at + behind })
}

/** Move steps into the step before them: behind what is in it. */
export function moveIn(flow: FlowOutline, range: Range): DraftEdit[] {
  const before = range.first.list.nodes[range.first.at - 1]
  const block = before?.blocks.findLast((each) => each.nodes.length > 0) ?? before?.blocks[0]
  if (block === undefined || !takesSteps(before)) return []
  return moveTo([flow], range, { path: block.path, at: block.nodes.length })
}

/** Return whether steps are put into a step: what a code step calls is read, not put there. */
export function takesSteps(node: OutlineNode | undefined): boolean {
  return node !== undefined && blocksOf(node.kind).length > 0
}

/** Move steps to a place; nothing where it is within them, or where they are. */
export function moveTo(flows: readonly FlowOutline[], range: Range, place: Place): DraftEdit[] {
  const { first, last, nodes } = range
  const same = samePath(first.list.path, place.path)
  if (same && place.at >= first.at && place.at <= last.at + 1) return []
  if (nodes.some((each) => startsWith(place.path, each.path))) return []
  let before: string | null = null
  return nodes.map((each): DraftEdit => {
    const spot = spotOf(flows, each.key ?? "") ?? first
    const behind: Spot | null = before === null ? null : spotOf(flows, before)
    const to = behind === null ? place : { path: behind.list.path, at: behind.at + 1 }
    const op: DraftEdit = { op: "move", path: spot.node.path, to: to.path, at: to.at }
    flows = predicted(flows, op, () => "")
    before = each.key ?? null
    return op
  })
}

/** Delete steps, the last one first. */
export function deleteAll({ first, nodes }: Range): DraftEdit[] {
  return nodes
    .map((_, at): DraftEdit => ({ op: "delete", path: [...first.list.path, first.at + at] }))
    .reverse()
}

/** Insert copies of steps behind them. */
export function duplicateAll({ first, last, nodes }: Range): DraftEdit[] {
  const list = first.list.path
  return nodes.flatMap((_, n): DraftEdit[] => {
    const copy: DraftEdit = { op: "duplicate", path: [...list, first.at + n] }
    if (nodes.length === 1) return [copy]
    return [copy, { op: "move", path: [...list, first.at + n + 1], to: list, at: last.at + 2 + n }]
  })
}

export type Wrapping = "if" | "for" | "try"

/** Put steps into a branch, a loop or a try. */
export function wrapAll({ first, nodes }: Range, kind: Wrapping): DraftEdit[] {
  const values = {
    if: { if: "" },
    for: { for: "item", in: "=event.items" },
    try: { try: [], catch: [] },
  }
  const into = { if: "then", for: "do", try: "try" }
  const path = first.node.path
  return [{ op: "wrap", path, count: nodes.length, value: values[kind], into: [into[kind]] }]
}

/** Return a name that none of some has: `flow`, `flow_2`, … */
export function freeName(name: string, taken: Iterable<string>): string {
  const all = new Set(taken)
  for (let n = 1; ; n++) {
    const found = n === 1 ? name : `${name}_${n}`
    if (!all.has(found)) return found
  }
}
