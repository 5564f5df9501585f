import { parseDigits } from "../draft/digits"
import type { Schemas } from "~/api/client"
import { preview } from "~/api/exact"
import type { FlowOutline, NodeBlock, OutlineNode, Path } from "../draft/types"
import { isObject, type Json } from "../fields/model"
import { blockKey, TRIGGER } from "../tree/walk"

export type Row = Schemas["RanStep"]
export type RunEnd = Schemas["RunEnd"]

/** What a step did in a run, as its card shows it. */
export type Ran = {
  state: "succeeded" | "failed" | "waiting" | "skipped"
  /** In one line; empty where it gave nothing. */
  summary: string
  /** How often it ran, for all items of the loops around it. */
  count: number
  /** The draft was edited since, here or before it. */
  stale: boolean
}

/** The item of a loop that is shown, of how many. */
export type Items = { at: number; count: number; failed: readonly number[] }

/** A run laid over a flow. */
export type Overlay = {
  cards: ReadonlyMap<string, Ran>
  loops: ReadonlyMap<string, Items>
  /** How often each list of steps was gone through. */
  blocks: ReadonlyMap<string, number>
  /** By step, its row for the items that are shown. */
  rows: ReadonlyMap<string, Row>
}

export const keyOf = (node: OutlineNode): string => node.key ?? JSON.stringify(node.path)

/** The rows of a run by the steps that they are of. */
export class RowLog {
  private readonly byKey = new Map<string, Row[]>()
  private readonly waiting = new Map<string, number>()
  /** All rows, in their order; one that waited stands there as it began to wait, too. */
  readonly all: { key: string; row: Row }[] = []
  count = 0

  /** `keys` has the steps' keys by their addresses as they were when it began. */
  constructor(private readonly keys: ReadonlyMap<string, string>) {}

  add(row: Row): void {
    const key = this.keys.get(JSON.stringify(row.path))
    if (key === undefined) return
    this.all.push({ key, row })
    const rows = this.byKey.get(key)
    const place = `${key} ${row.execution} ${row.item.join(".")}`
    const before = this.waiting.get(place)
    this.waiting.delete(place)
    if (rows !== undefined && before !== undefined) rows[before] = row
    else {
      this.count++
      if (rows === undefined) this.byKey.set(key, [row])
      else rows.push(row)
    }
    // One that waits is told again as it goes on.
    if (row.state === "waiting") this.waiting.set(place, before ?? (rows?.length ?? 1) - 1)
  }

  of(key: string): readonly Row[] {
    return this.byKey.get(key) ?? []
  }
}

/** Return a flow whose steps have keys: those of a version have none. */
export function keyed(flow: FlowOutline): FlowOutline {
  let count = 0
  const walk = (nodes: readonly OutlineNode[]): OutlineNode[] =>
    nodes.map((node) => ({
      ...node,
      key: `n${++count}`,
      blocks: node.blocks.map((each) => ({ ...each, nodes: walk(each.nodes) })),
    }))
  return { ...flow, steps: walk(flow.steps) }
}

/** Return the keys of all steps by their addresses. */
export function keysOf(flows: readonly FlowOutline[]): Map<string, string> {
  const found = new Map<string, string>()
  const walk = (nodes: readonly OutlineNode[]) => {
    for (const node of nodes) {
      found.set(JSON.stringify(node.path), keyOf(node))
      for (const block of node.blocks) walk(block.nodes)
    }
  }
  for (const flow of flows) walk(flow.steps)
  return found
}

/** The list of steps that is gone through once an item. */
const bodyOf = (node: OutlineNode): NodeBlock | undefined =>
  node.kind === "for" ? node.blocks.find((each) => each.path.at(-1) === "do") : undefined

/** Return the executions that went through a flow: more than one where it was called several times. */
export function executionsOf(flow: FlowOutline, log: RowLog): number[] {
  const found = new Set<number>()
  for (const node of flow.steps) for (const row of log.of(keyOf(node))) found.add(row.execution)
  return [...found].sort((one, other) => one - other)
}

/** Lay a run over a flow. `chosen` has, by loop, the item to be shown; `over`: what did not come will not. */
export function overlay(
  flow: FlowOutline,
  log: RowLog,
  chosen: ReadonlyMap<string, number>,
  execution: number,
  over: boolean,
  stale: ReadonlySet<string>,
): Overlay {
  const cards = new Map<string, Ran>()
  const loops = new Map<string, Items>()
  const blocks = new Map<string, number>()
  const rows = new Map<string, Row>()
  const ofNode = (node: OutlineNode) =>
    log.of(keyOf(node)).filter((each) => each.execution === execution)
  const walk = (nodes: readonly OutlineNode[], items: readonly number[]): boolean => {
    let any = false
    for (const node of nodes) {
      const key = keyOf(node)
      const all = ofNode(node)
      const row = all.find((each) => isAt(each, items))
      const body = bodyOf(node)
      let inside = false
      for (const block of node.blocks) {
        let within = items
        if (block === body) {
          const shown = itemsOf(block, items, ofNode, chosen.get(key))
          if (shown.count > 0) loops.set(key, shown)
          within = [...items, shown.at]
        }
        inside = walk(block.nodes, within) || inside
        const first = block.nodes[0]
        if (first !== undefined) {
          const times = ofNode(first).filter((each) => startsWith(each.item, items)).length
          if (times > 0) blocks.set(blockKey(node, block), times)
        }
      }
      any = any || row !== undefined || inside
      if (row !== undefined) {
        rows.set(key, row)
        cards.set(key, cardOf(row, all.length, stale.has(key)))
      } else if (over && !inside) {
        cards.set(key, { state: "skipped", summary: "", count: all.length, stale: stale.has(key) })
      }
    }
    return any
  }
  const came = walk(flow.steps, [])
  if (came || over) {
    const stepped = stale.has(TRIGGER)
    cards.set(TRIGGER, { state: "succeeded", summary: "", count: 1, stale: stepped })
  }
  return { cards, loops, blocks, rows }
}

/** Put steps that were run alone in the place of the run's. */
export function withRow(
  laid: Overlay,
  alone: ReadonlyMap<string, Row>,
  stale: ReadonlySet<string>,
): Overlay {
  if (alone.size === 0) return laid
  const cards = new Map(laid.cards)
  const rows = new Map(laid.rows)
  for (const [key, row] of alone) {
    rows.set(key, row)
    cards.set(key, cardOf(row, 1, stale.has(key)))
  }
  return { ...laid, cards, rows }
}

function cardOf(row: Row, count: number, stale: boolean): Ran {
  const state = row.state === "running" ? "waiting" : row.state
  return { state, summary: summaryOf(row), count, stale: stale || row.stale }
}

function isAt(row: Row, items: readonly number[]): boolean {
  return row.item.length === items.length && startsWith(row.item, items)
}

function startsWith(items: readonly number[], start: readonly number[]): boolean {
  return start.every((each, at) => items[at] === each)
}

function itemsOf(
  body: NodeBlock,
  items: readonly number[],
  ofNode: (node: OutlineNode) => Row[],
  chosen: number | undefined,
): Items {
  let count = 0
  const failed = new Set<number>()
  for (const node of body.nodes) {
    for (const row of ofNode(node)) {
      const at = row.item[items.length]
      if (at === undefined || !startsWith(row.item, items)) continue
      count = Math.max(count, at + 1)
      if (row.state === "failed") failed.add(at)
    }
  }
  const found = [...failed].sort((one, other) => one - other)
  const at = Math.min(chosen ?? found[0] ?? 0, Math.max(0, count - 1))
  return { at, count, failed: found }
}

function summaryOf(row: Row): string {
  if (row.error !== null) return preview(row.error.message)
  const text = row.gave?.text ?? ""
  return text === "null" ? "" : preview(text)
}

/** What the steps of each flow were when a run began, in their order. */
export type Snapshot = ReadonlyMap<string, readonly { key: string; text: string }[]>

export function snapshotOf(flows: readonly FlowOutline[]): Snapshot {
  return new Map(flows.map((flow) => [flow.name, linesOf(flow)]))
}

function linesOf(flow: FlowOutline): { key: string; text: string }[] {
  const found = [{ key: TRIGGER, text: JSON.stringify([flow.trigger, flow.fields]) }]
  const walk = (nodes: readonly OutlineNode[]) => {
    for (const node of nodes) {
      const lists = node.blocks.map((each) => [each.path.at(-1), each.title])
      const text = JSON.stringify([node.kind, node.id, node.fields, lists])
      found.push({ key: keyOf(node), text })
      for (const block of node.blocks) walk(block.nodes)
    }
  }
  walk(flow.steps)
  return found
}

/**
 * Return the steps whose results may be others by now: those from the first that was edited on, and
 * what it is in. With an edited trigger, all.
 */
export function staleOf(before: Snapshot, flow: FlowOutline): Set<string> {
  const then = before.get(flow.name)
  const now = linesOf(flow)
  const first = now.findIndex(
    (each, at) => each.key !== then?.[at]?.key || each.text !== then[at].text,
  )
  if (first === -1) return new Set()
  const stale = new Set(now.slice(first).map((each) => each.key))
  const walk = (nodes: readonly OutlineNode[]): boolean => {
    let any = false
    for (const node of nodes) {
      const inner = node.blocks.map((each) => walk(each.nodes))
      if (inner.includes(true)) stale.add(keyOf(node))
      any = any || stale.has(keyOf(node))
    }
    return any
  }
  walk(flow.steps)
  return stale
}

/** A name that expressions see, and the address of what gives it. */
type Given = { name: string; given: Path | null }

/** Return, by name, what a run gave for the names in scope. */
export function samplesOf(
  scope: readonly Given[],
  flow: FlowOutline,
  shown: Overlay,
  event: string | null,
): Record<string, Json> {
  const nodes = new Map<string, OutlineNode>()
  const walk = (some: readonly OutlineNode[]) => {
    for (const node of some) {
      nodes.set(JSON.stringify(node.path), node)
      for (const block of node.blocks) walk(block.nodes)
    }
  }
  walk(flow.steps)
  const found: Record<string, Json> = {}
  const items: [string, OutlineNode][] = []
  for (const { name, given } of scope) {
    if (given === null) {
      const value = name === "event" && event !== null ? valueOf(event) : undefined
      if (value !== undefined) found[name] = value
      continue
    }
    const at = given.findLastIndex((each) => typeof each === "number")
    const node = nodes.get(JSON.stringify(given.slice(0, at + 1)))
    if (node === undefined) continue
    const part = given[at + 1]
    if (part === "for") items.push([name, node])
    const gave = shown.rows.get(keyOf(node))?.gave
    const value = gave == null || gave.cut || part === "for" ? undefined : valueOf(gave.text)
    if (part === "set") {
      if (isObject(value) && Object.hasOwn(value, name)) found[name] = value[name] as Json
    } else if (value !== undefined) found[name] = value
  }
  // An item is found where what is gone through is a plain path to what is known.
  for (const [name, node] of items) {
    const at = shown.loops.get(keyOf(node))?.at ?? 0
    const list = node.fields["where"] === undefined ? pathIn(found, node.fields["in"]) : undefined
    const item = Array.isArray(list) ? list[at] : undefined
    if (item !== undefined) found[name] = item
  }
  return found
}

function pathIn(values: Record<string, Json>, expression: unknown): Json | undefined {
  if (typeof expression !== "string" || !/^=\w+(\.\w+)*$/.test(expression)) return undefined
  let value: Json | undefined = values
  for (const name of expression.slice(1).split(".")) {
    value = isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined
  }
  return value
}

function valueOf(text: string): Json | undefined {
  try {
    return parseDigits(text) as Json
  } catch {
    return undefined
  }
}
