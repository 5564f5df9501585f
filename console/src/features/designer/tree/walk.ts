import type { FlowOutline, NodeBlock, OutlineNode, Path } from "../draft/types"

export type List = { path: Path; nodes: OutlineNode[] }
/** A step, where it stands: its flow, its list, its place there, and the steps that it is in. */
export type Spot = {
  node: OutlineNode
  flow: FlowOutline
  list: List
  at: number
  holders: OutlineNode[]
}

/** What is selected where it is the trigger of a flow. */
export const TRIGGER = "trigger"

/** What is selected where it is a list of steps within one: a branch, a loop's body. */
export function blockKey(node: OutlineNode, block: NodeBlock): string {
  return `${node.key ?? JSON.stringify(node.path)}/${block.path.slice(node.path.length).join("/")}`
}

export function samePath(one: Path, other: Path): boolean {
  return one.length === other.length && one.every((each, at) => each === other[at])
}

/** Return whether an address is another one, or stands within it. */
export function startsWith(path: Path, start: Path): boolean {
  return path.length >= start.length && start.every((each, at) => each === path[at])
}

/** Return the list of a flow's own steps; the routes of one that hands events on. */
export function stepsOf(flow: FlowOutline): List {
  return { path: [...flow.path, flow.preprocess ? "routes" : "steps"], nodes: flow.steps }
}

/** Yield every step of a flow, in the order of its text, with where it stands. */
export function* spotsIn(flow: FlowOutline): Generator<Spot> {
  yield* within(stepsOf(flow), flow, [])
}

function* within(list: List, flow: FlowOutline, holders: OutlineNode[]): Generator<Spot> {
  for (const [at, node] of list.nodes.entries()) {
    yield { node, flow, list, at, holders }
    for (const block of node.blocks) yield* within(block, flow, [...holders, node])
  }
}

/** Find a step by its key. */
export function spotOf(flows: readonly FlowOutline[], key: string): Spot | null {
  for (const flow of flows) for (const spot of spotsIn(flow)) if (spot.node.key === key) return spot
  return null
}

/** Find the innermost step at an address, or around it. */
export function spotAt(flows: readonly FlowOutline[], path: Path): Spot | null {
  let found: Spot | null = null
  for (const flow of flows) {
    if (!startsWith(path, flow.path)) continue
    for (const spot of spotsIn(flow)) if (startsWith(path, spot.node.path)) found = spot
  }
  return found
}

/** Find a list of steps by its address. */
export function listAt(flows: readonly FlowOutline[], path: Path): List | null {
  for (const flow of flows) {
    if (!startsWith(path, flow.path)) continue
    const own = stepsOf(flow)
    if (samePath(own.path, path)) return own
    for (const { node } of spotsIn(flow)) {
      const block = node.blocks.find((each) => samePath(each.path, path))
      if (block !== undefined) return block
    }
  }
  return null
}

/** Return steps as they are once the list that they stand in has another address. */
export function readdressed(nodes: readonly OutlineNode[], path: Path): OutlineNode[] {
  return nodes.map((node, at) => {
    const now = [...path, at]
    if (samePath(node.path, now)) return node
    const blocks = node.blocks.map((block): NodeBlock => {
      const inner = [...now, ...block.path.slice(node.path.length)]
      return { ...block, path: inner, nodes: readdressed(block.nodes, inner) }
    })
    return { ...node, path: now, blocks }
  })
}

/** Find the list of steps that a key names. */
export function listOf(flows: readonly FlowOutline[], key: string): List | null {
  const node = spotOf(flows, key.split("/")[0] ?? "")?.node
  return node?.blocks.find((each) => blockKey(node, each) === key) ?? null
}

export type Way = "up" | "down" | "left" | "right"

/** The ways that keys go. */
export const WAYS: Readonly<Record<string, Way>> = {
  ArrowUp: "up",
  ArrowDown: "down",
  ArrowLeft: "left",
  ArrowRight: "right",
}

/** Return what is selected next: arrows go through the steps as they are drawn. */
export function walked(flow: FlowOutline, selected: string | null, way: Way): string | null {
  const first = flow.steps[0]?.key ?? null
  if (selected === null) return TRIGGER
  if (selected === TRIGGER) return way === "down" ? first : null
  const [key = ""] = selected.split("/")
  const spot = spotOf([flow], key)
  if (spot === null) return TRIGGER
  if (selected !== key) return fromBlock(spot, selected, way)
  switch (way) {
    case "up":
      return spot.list.nodes[spot.at - 1]?.key ?? spot.holders.at(-1)?.key ?? TRIGGER
    case "down":
      return firstIn(spot.node, 0) ?? after(flow, spot)
    case "left":
    case "right":
      return beside(flow, spot, way)
  }
}

/** Return the first step of a block, or the block itself where it is empty. */
function firstIn(node: OutlineNode, at: number): string | null {
  const block = node.blocks[at]
  if (block === undefined) return null
  return block.nodes[0]?.key ?? blockKey(node, block)
}

function after(flow: FlowOutline, spot: Spot): string | null {
  const next = spot.list.nodes[spot.at + 1]
  if (next !== undefined) return next.key ?? null
  const holder = spotOf([flow], spot.holders.at(-1)?.key ?? "")
  return holder === null ? null : after(flow, holder)
}

function fromBlock(spot: Spot, selected: string, way: Way): string | null {
  const { node, flow } = spot
  const at = node.blocks.findIndex((each) => blockKey(node, each) === selected)
  if (way === "up") return node.key ?? null
  if (way === "down") return after(flow, spot)
  return firstIn(node, at + (way === "left" ? -1 : 1))
}

function beside(flow: FlowOutline, spot: Spot, way: "left" | "right"): string | null {
  const holder = spot.holders.at(-1)
  if (holder === undefined) return null
  const at = holder.blocks.findIndex((each) => samePath(each.path, spot.list.path))
  const found = firstIn(holder, at + (way === "left" ? -1 : 1))
  if (found !== null) return found
  const around = spotOf([flow], holder.key ?? "")
  return around === null ? null : beside(flow, around, way)
}
