import type { FlowOutline, NodeBlock, OutlineNode, Path } from "../draft/types"
import { kindOf } from "./kinds"
import { blockKey, stepsOf, TRIGGER } from "./walk"

export const CARD = { width: 240, height: 56 }
const GAP = 40
const BESIDE = 24
const PAD = 12
const LABEL = 20
const FORK = 20

export type Box = { x: number; y: number; width: number; height: number }
export type Card = Box & { key: string; node: OutlineNode | null }
export type Frame = Box & { key: string }
/** Where a step can be put: a place in a list. `key` names the list where it is empty. */
export type Gap = { x: number; y: number; path: Path; at: number; key: string | null }
/** `joins`: its way across is at its end, as branches come together. */
export type Edge = { from: [number, number]; to: [number, number]; joins: boolean }
export type Label = { x: number; y: number; key: string; text: string; end: string | null }
export type Drawing = {
  width: number
  height: number
  cards: Card[]
  frames: Frame[]
  gaps: Gap[]
  edges: Edge[]
  labels: Label[]
}

type Size = { width: number; height: number }

/** Lay a flow out: steps below each other, branches as columns, loops and tries as frames. */
export function layOut(flow: FlowOutline): Drawing {
  const sizes = new Map<object, Size>()
  const list = stepsOf(flow)
  const size = sizeOfList(list.nodes, sizes)
  const width = Math.max(size.width, CARD.width)
  const drawing: Drawing = {
    width,
    height: CARD.height + size.height,
    cards: [],
    frames: [],
    gaps: [],
    edges: [],
    labels: [],
  }
  const axis = width / 2
  drawing.cards.push({ ...CARD, x: axis - CARD.width / 2, y: 0, key: TRIGGER, node: null })
  new Placing(drawing, sizes).list(list.nodes, list.path, null, axis, CARD.height)
  return drawing
}

/** Return whether nothing of a list is done after a step. */
export function ends(node: OutlineNode): boolean {
  if (kindOf(node.kind)?.ends) return true
  const written = node.blocks.filter((each) => each.nodes.length > 0)
  return (
    node.kind === "if" &&
    written.length === 2 &&
    written.every(
      (each) => each.nodes.at(-1) !== undefined && ends(each.nodes.at(-1) as OutlineNode),
    )
  )
}

function sizeOfList(nodes: readonly OutlineNode[], sizes: Map<object, Size>): Size {
  let [width, height] = [CARD.width, GAP]
  for (const node of nodes) {
    const size = sizeOf(node, sizes)
    width = Math.max(width, size.width)
    height += size.height + GAP
  }
  return { width, height }
}

function sizeOf(node: OutlineNode, sizes: Map<object, Size>): Size {
  const known = sizes.get(node)
  if (known !== undefined) return known
  let size: Size = CARD
  if (node.blocks.length > 0) {
    const columns = node.blocks.map((block) => {
      const inner = sizeOfList(block.nodes, sizes)
      sizes.set(block, inner)
      return inner
    })
    const width = columns.reduce((sum, each) => sum + each.width + BESIDE, -BESIDE)
    const height = CARD.height + 2 * FORK + LABEL + Math.max(...columns.map((each) => each.height))
    size = { width: Math.max(width, CARD.width), height }
    if (!kindOf(node.kind)?.branches) {
      size = { width: size.width + 2 * PAD, height: size.height + 2 * PAD }
    }
  }
  sizes.set(node, size)
  return size
}

class Placing {
  constructor(
    private readonly drawing: Drawing,
    private readonly sizes: ReadonlyMap<object, Size>,
  ) {}

  /** Place a list below a point; return where its line ends, null where nothing comes after it. */
  list(
    nodes: readonly OutlineNode[],
    path: Path,
    key: string | null,
    axis: number,
    top: number,
  ): number | null {
    let [y, from]: [number, number | null] = [top, top]
    for (const [at, node] of nodes.entries()) {
      this.gap(axis, y, path, at, null)
      if (from !== null) this.line(axis, from, axis, y + GAP)
      y += GAP
      this.node(node, axis, y)
      y += this.size(node).height
      from = ends(node) ? null : y
    }
    if (from === null) return null
    this.gap(axis, y, path, nodes.length, nodes.length === 0 ? key : null)
    this.line(axis, from, axis, y + GAP)
    return y + GAP
  }

  private gap(axis: number, y: number, path: Path, at: number, key: string | null): void {
    this.drawing.gaps.push({ x: axis, y: y + GAP / 2, path, at, key })
  }

  private line(x: number, y: number, toX: number, toY: number, joins = false): void {
    this.drawing.edges.push({ from: [x, y], to: [toX, toY], joins })
  }

  private size(of: OutlineNode | NodeBlock): Size {
    return this.sizes.get(of) ?? CARD
  }

  private node(node: OutlineNode, axis: number, top: number): void {
    const { width, height } = this.size(node)
    const key = node.key ?? JSON.stringify(node.path)
    const framed = node.blocks.length > 0 && !kindOf(node.kind)?.branches
    if (framed) this.drawing.frames.push({ x: axis - width / 2, y: top, width, height, key })
    const y = framed ? top + PAD : top
    this.drawing.cards.push({ ...CARD, x: axis - CARD.width / 2, y, key, node })
    if (node.blocks.length === 0) return
    const bottom = top + height - (framed ? PAD : 0)
    const columns = node.blocks.reduce((sum, each) => sum + this.size(each).width + BESIDE, -BESIDE)
    let left = axis - columns / 2
    for (const block of node.blocks) {
      const column = this.size(block).width
      const middle = left + column / 2
      const begin = y + CARD.height + FORK + LABEL
      this.line(axis, y + CARD.height, middle, begin)
      const text = block.title ?? String(block.path.at(-1))
      const own = blockKey(node, block)
      const last = block.nodes.at(-1)
      this.drawing.labels.push({
        x: middle,
        y: begin - LABEL / 2,
        key: own,
        text,
        end: last !== undefined && ends(last) ? last.kind : null,
      })
      const end = this.list(block.nodes, block.path, own, middle, begin)
      if (end !== null) this.line(middle, end, axis, bottom, true)
      left += column + BESIDE
    }
  }
}
