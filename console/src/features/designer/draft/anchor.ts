import { listAt, spotAt, spotOf } from "../tree/walk"
import { predicted } from "./predict"
import type { DraftEdit, FlowOutline, Path } from "./types"

/**
 * An edit that names steps by their keys, so that it stays about them wherever others move them:
 * an address begins with `@n7` then, and `behind` is the step that a place in a list follows.
 */
export type Anchored = DraftEdit & { behind?: string | null }

type Flows = readonly FlowOutline[]

/** Raised where a step that an edit is about has been deleted. */
export class StepGone extends Error {
  constructor() {
    super("the step has been deleted")
  }
}

/** Return edits that follow each other with the steps' keys in the place of their addresses. */
export function anchored(flows: Flows, edits: readonly DraftEdit[], token: string): Anchored[] {
  const name = names(token)
  const found: Anchored[] = []
  for (const edit of edits) {
    found.push(anchoredOne(flows, edit))
    flows = predicted(flows, edit, name)
  }
  return found
}

/** Return anchored edits by the addresses that the steps have now, and the flows that they make. */
export function resolved(
  flows: Flows,
  edits: readonly Anchored[],
  token: string,
): { ops: DraftEdit[]; flows: Flows } {
  const name = names(token)
  const ops: DraftEdit[] = []
  for (const edit of edits) {
    const op = resolvedOne(flows, edit)
    ops.push(op)
    flows = predicted(flows, op, name)
  }
  return { ops, flows }
}

/** Return the keys of the steps that edits make, in the order of their making: the same ones each time. */
export function names(token: string): () => string {
  let count = 0
  return () => `${token}.${count++}`
}

function anchoredOne(flows: Flows, edit: DraftEdit): Anchored {
  const anchor = (path: Path): Path => {
    const node = spotAt(flows, path)?.node
    if (node?.key == null) return path
    return [`@${node.key}`, ...path.slice(node.path.length)]
  }
  const behind = (list: Path, at: number) =>
    at === 0 ? null : (listAt(flows, list)?.nodes[at - 1]?.key ?? undefined)
  const place = (list: Path, at: number) => {
    const key = behind(list, at)
    return key === undefined ? {} : { behind: key }
  }
  switch (edit.op) {
    case "insert":
      return { ...edit, path: anchor(edit.path), ...place(edit.path, edit.at) }
    case "move":
      return {
        ...edit,
        path: anchor(edit.path),
        to: anchor(edit.to),
        ...place(edit.to, edit.at),
      }
    case "set":
    case "delete":
    case "wrap":
    case "duplicate":
      return { ...edit, path: anchor(edit.path) }
    default:
      return edit
  }
}

function resolvedOne(flows: Flows, { behind, ...edit }: Anchored): DraftEdit {
  const resolve = (path: Path): Path => {
    const [first, ...rest] = path
    if (typeof first !== "string" || !first.startsWith("@")) return path
    const spot = spotOf(flows, first.slice(1))
    if (spot === null) throw new StepGone()
    return [...spot.node.path, ...rest]
  }
  const place = (list: Path, at: number): [Path, number] => {
    const before = typeof behind === "string" ? spotOf(flows, behind) : null
    if (before !== null) return [before.list.path, before.at + 1]
    const path = resolve(list)
    const most = listAt(flows, path)?.nodes.length
    return [path, behind === null ? 0 : Math.min(at, most ?? at)]
  }
  switch (edit.op) {
    case "insert": {
      const [path, at] = place(edit.path, edit.at)
      return { ...edit, path, at }
    }
    case "move": {
      const [to, at] = place(edit.to, edit.at)
      return { ...edit, path: resolve(edit.path), to, at }
    }
    case "set":
    case "delete":
    case "wrap":
    case "duplicate":
      return { ...edit, path: resolve(edit.path) }
    default:
      return edit
  }
}
