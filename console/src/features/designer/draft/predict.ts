import { blocksOf, kindOfStep } from "../tree/kinds"
import { listAt, readdressed, samePath, spotAt, startsWith, stepsOf } from "../tree/walk"
import type { DraftEdit, FlowOutline, NodeBlock, OutlineNode, Path } from "./types"

type Flows = readonly FlowOutline[]
type Fields = Record<string, unknown>

const NOWHERE = { file: "", line: 0, column: 0, end_line: 0 }

/**
 * Return flows as an edit is going to leave them, before the server has answered. What cannot be
 * foreseen stays as it is: the answer has it. New steps have the keys that `name` gives.
 */
export function predicted(flows: Flows, edit: DraftEdit, name: () => string): Flows {
  switch (edit.op) {
    case "set":
      return withValue(flows, edit.path, edit.value)
    case "insert": {
      const made = nodeOf(edit.value, [...edit.path, edit.at], name)
      return withList(flows, edit.path, (nodes) => spliced(nodes, edit.at, 0, [made]))
    }
    case "delete": {
      const at = edit.path.at(-1)
      if (typeof at !== "number") return withoutField(flows, edit.path)
      return withList(flows, edit.path.slice(0, -1), (nodes) => spliced(nodes, at, 1, []))
    }
    case "move":
      return movedTo(flows, edit.path, edit.to, edit.at)
    case "duplicate": {
      const at = edit.path.at(-1)
      const node = spotAt(flows, edit.path)?.node
      if (typeof at !== "number" || node === undefined) return flows
      const copy = renewed(node, name)
      return withList(flows, edit.path.slice(0, -1), (nodes) => spliced(nodes, at + 1, 0, [copy]))
    }
    case "wrap":
      return wrapped(flows, edit, name)
    case "reorder":
      return reordered(flows, edit.path, edit.before ?? null)
    case "rename_flow":
      return flows.map((each) => (each.name === edit.name ? withName(each, edit.to) : each))
    default:
      return flows
  }
}

/** Return a step of a document as the outline has it. */
export function nodeOf(value: unknown, path: Path, name: () => string): OutlineNode {
  const step = (typeof value === "object" && value !== null ? value : {}) as Fields
  const kind = kindOfStep(step)
  const key = name()
  const { id, title, ...fields } = step
  const blocks: NodeBlock[] = []
  const block = (inner: Path, steps: unknown) => {
    const at = [...path, ...inner]
    const nodes = Array.isArray(steps) ? steps.map((each, n) => nodeOf(each, [...at, n], name)) : []
    blocks.push({ path: at, nodes })
  }
  for (const each of blocksOf(kind)) {
    const held = fields[each]
    if (each === "cases") {
      for (const [label, steps] of Object.entries((held ?? {}) as Fields))
        block([each, label], steps)
    } else block([each], held)
  }
  const own = Object.entries(fields).filter(([each]) => !blocksOf(kind).includes(each))
  return {
    key,
    path,
    kind,
    id: typeof id === "string" ? id : null,
    title: typeof title === "string" ? title : null,
    fields: Object.fromEntries(own),
    blocks,
    place: NOWHERE,
  }
}

function spliced<T>(list: readonly T[], at: number, gone: number, put: T[]): T[] {
  return [...list.slice(0, at), ...put, ...list.slice(at + gone)]
}

function renewed(node: OutlineNode, name: () => string): OutlineNode {
  const key = name()
  const blocks = node.blocks.map((block) => ({
    ...block,
    nodes: block.nodes.map((each) => renewed(each, name)),
  }))
  return { ...node, key, blocks }
}

function reordered(flows: Flows, path: Path, before: unknown): Flows {
  const flow = flows.find((each) => samePath(each.path, path))
  if (flow === undefined) return flows
  const rest = flows.filter((each) => each !== flow)
  const at = rest.findIndex((each) => each.path[0] === path[0] && each.name === before)
  return spliced(rest, at === -1 ? rest.length : at, 0, [flow])
}

function withName(flow: FlowOutline, name: string): FlowOutline {
  const made = { ...flow, name, path: [...flow.path.slice(0, -1), name] }
  const title = flow.title.toLowerCase().replaceAll(" ", "_") === flow.name ? name : flow.title
  return { ...made, title, steps: readdressed(flow.steps, stepsOf(made).path) }
}

/** Change one list of steps; those around it are others then, and the rest is the same. */
function withList(
  flows: Flows,
  path: Path,
  change: (nodes: readonly OutlineNode[]) => OutlineNode[],
): Flows {
  return flows.map((flow) => {
    if (!startsWith(path, flow.path)) return flow
    const own = stepsOf(flow)
    if (samePath(own.path, path)) return { ...flow, steps: readdressed(change(flow.steps), path) }
    return { ...flow, steps: inNodes(flow.steps, path, change) }
  })
}

function inNodes(
  nodes: readonly OutlineNode[],
  path: Path,
  change: (nodes: readonly OutlineNode[]) => OutlineNode[],
): OutlineNode[] {
  return nodes.map((node) => {
    if (!startsWith(path, node.path)) return node
    const blocks = node.blocks.map((block) => {
      if (samePath(block.path, path)) {
        return { ...block, nodes: readdressed(change(block.nodes), path) }
      }
      if (!startsWith(path, block.path)) return block
      return { ...block, nodes: inNodes(block.nodes, path, change) }
    })
    return { ...node, blocks }
  })
}

function withNode(flows: Flows, path: Path, change: (node: OutlineNode) => OutlineNode): Flows {
  return withList(flows, path.slice(0, -1), (nodes) =>
    nodes.map((each, at) => (at === path.at(-1) ? change(each) : each)),
  )
}

function withValue(flows: Flows, path: Path, value: unknown): Flows {
  const node = spotAt(flows, path)?.node
  if (node === undefined) return withFlowValue(flows, path, value)
  const [field, ...rest] = path.slice(node.path.length)
  if (field === undefined) {
    const key = node.key ?? ""
    return withNode(flows, node.path, () => nodeOf(value, node.path, () => key))
  }
  if (field === "title" || field === "id") {
    const text = typeof value === "string" ? value : null
    return withNode(flows, node.path, (each) => ({ ...each, [field]: text }))
  }
  if (node.blocks.some((each) => each.path[node.path.length] === field)) return flows
  return withNode(flows, node.path, (each) => {
    const fields = put(each.fields, [field, ...rest], value) as Fields
    return { ...each, fields }
  })
}

function withFlowValue(flows: Flows, path: Path, value: unknown): Flows {
  return flows.map((flow) => {
    const [field, ...rest] = path.slice(flow.path.length)
    if (field === undefined || !startsWith(path, flow.path)) return flow
    if (rest.length === 0 && ["title", "description", "trigger"].includes(String(field))) {
      return { ...flow, [String(field)]: String(value) }
    }
    if (field === "steps") return flow
    return { ...flow, fields: put(flow.fields, [field, ...rest], value) as Fields }
  })
}

function withoutField(flows: Flows, path: Path): Flows {
  const node = spotAt(flows, path)?.node
  const name = path.at(-1)
  if (node === undefined) return flows.filter((each) => !samePath(each.path, path))
  if (path.length === node.path.length + 1 && (name === "title" || name === "id")) {
    return withNode(flows, node.path, (each) => ({ ...each, [name]: null }))
  }
  return withNode(flows, node.path, (each) => {
    const fields = cut(each.fields, path.slice(node.path.length)) as Fields
    return { ...each, fields }
  })
}

function put(holder: unknown, path: Path, value: unknown): unknown {
  const [name, ...rest] = path
  if (name === undefined) return value
  if (Array.isArray(holder)) {
    return holder.map((each: unknown, at) => (at === name ? put(each, rest, value) : each))
  }
  const held = (typeof holder === "object" && holder !== null ? holder : {}) as Fields
  return { ...held, [String(name)]: put(held[String(name)], rest, value) }
}

function cut(holder: unknown, path: Path): unknown {
  const [name, ...rest] = path
  if (typeof holder !== "object" || holder === null || name === undefined) return holder
  if (Array.isArray(holder)) {
    const list = holder as unknown[]
    if (rest.length === 0) return list.filter((_, at) => at !== name)
    return list.map((each, at) => (at === name ? cut(each, rest) : each))
  }
  const held = Object.entries(holder as Fields)
  if (rest.length === 0) return Object.fromEntries(held.filter(([each]) => each !== String(name)))
  return Object.fromEntries(held.map(([at, each]) => [at, at === name ? cut(each, rest) : each]))
}

function movedTo(flows: Flows, path: Path, to: Path, at: number): Flows {
  const from = path.at(-1)
  const node = spotAt(flows, path)?.node
  if (typeof from !== "number" || node === undefined || startsWith(to, path)) return flows
  const holder = path.slice(0, -1)
  const taken = withList(flows, holder, (nodes) => spliced(nodes, from, 1, []))
  // Both addresses are as they are before the move.
  const [list, place] = behind(to, at, holder, from)
  return withList(taken, list, (nodes) => spliced(nodes, place, 0, [node]))
}

function behind(to: Path, at: number, holder: Path, from: number): [Path, number] {
  if (samePath(to, holder)) return [to, at > from ? at - 1 : at]
  const there = to[holder.length]
  if (startsWith(to, holder) && typeof there === "number" && there > from) {
    return [[...holder, there - 1, ...to.slice(holder.length + 1)], at]
  }
  return [to, at]
}

type Wrap = Extract<DraftEdit, { op: "wrap" }>

function wrapped(flows: Flows, edit: Wrap, name: () => string): Flows {
  const holder = edit.path.slice(0, -1)
  const at = edit.path.at(-1)
  const list = listAt(flows, holder)
  if (typeof at !== "number" || list === null) return flows
  const inside = list.nodes.slice(at, at + edit.count)
  const around = nodeOf(put(edit.value, edit.into, []), [...holder, at], name)
  const into = [...holder, at, ...edit.into]
  const blocks = around.blocks.map((each) =>
    samePath(each.path, into) ? { ...each, nodes: readdressed(inside, into) } : each,
  )
  return withList(flows, holder, (nodes) => spliced(nodes, at, edit.count, [{ ...around, blocks }]))
}
