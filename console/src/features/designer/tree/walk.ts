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
