import { expect, test } from "vitest"
import type { FlowOutline } from "../draft/types"
import { blocksOf } from "./kinds"
import { type Box, CARD, type Drawing, layOut } from "./layout"
import { flowOf } from "./testing"
import { spotsIn, TRIGGER, walked } from "./walk"

/** Numbers that look random, and are the same each time. */
function dice(seed: number): (most: number) => number {
  let state = seed
  return (most) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state % most
  }
}

function stepsBy(roll: (most: number) => number, depth: number, most: number): unknown[] {
  return Array.from({ length: roll(most + 1) }, () => {
    const kinds =
      depth > 0 ? ["if", "for", "try", "switch", "log", "stop", "action"] : ["log", "set"]
    const kind = kinds[roll(kinds.length)] ?? "log"
    const step: Record<string, unknown> = { [kind]: "x" }
    for (const block of blocksOf(kind)) {
      const steps = () => stepsBy(roll, depth - 1, most)
      step[block] = block === "cases" ? { a: steps(), b: steps(), c: steps() } : steps()
    }
    return step
  })
}

function apart(one: Box, other: Box): boolean {
  return (
    one.x + one.width <= other.x ||
    other.x + other.width <= one.x ||
    one.y + one.height <= other.y ||
    other.y + other.height <= one.y
  )
}

function contains(outer: Box, inner: Box): boolean {
  return (
    outer.x <= inner.x &&
    outer.y <= inner.y &&
    outer.x + outer.width >= inner.x + inner.width &&
    outer.y + outer.height >= inner.y + inner.height
  )
}

function check(flow: FlowOutline, drawing: Drawing): void {
  const { cards, frames, width, height } = drawing
  const beside = (boxes: readonly Box[], fits: (one: Box, other: Box) => boolean) =>
    boxes.every((one, at) => boxes.slice(at + 1).every((other) => fits(one, other)))
  const within = (one: Box, other: Box) => contains(one, other) || contains(other, one)
  expect([...cards, ...frames].every((each) => contains({ x: 0, y: 0, width, height }, each))).toBe(
    true,
  )
  expect(beside(cards, apart)).toBe(true)
  expect(beside(frames, (one, other) => apart(one, other) || within(one, other))).toBe(true)
  expect(
    frames.every((one) => cards.every((card) => apart(one, card) || contains(one, card))),
  ).toBe(true)
  const by = new Map(cards.map((each) => [each.key, each]))
  const all = [...spotsIn(flow)]
  expect(cards.length).toBe(all.length + 1)
  for (const { node, list, at, holders } of all) {
    const card = by.get(node.key ?? "")
    const before = by.get(list.nodes[at - 1]?.key ?? holders.at(-1)?.key ?? TRIGGER)
    expect(card?.y).toBeGreaterThan((before?.y ?? 0) + CARD.height)
  }
}

test("cards and frames of any flow are apart, in the order of its steps", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const flow = flowOf(stepsBy(dice(seed), 3, 3))
    const drawing = layOut(flow)
    check(flow, drawing)
    expect(layOut(structuredClone(flow))).toEqual(drawing)
  }
})

test("branches stand beside each other, and a loop's frame holds its steps", () => {
  const flow = flowOf([
    { if: "=a", then: [{ log: "x" }], else: [{ log: "y" }] },
    { for: "x", in: "=y", do: [{ log: "z" }] },
  ])
  const { cards, frames, labels, gaps } = layOut(flow)
  const [, , x, y, , z] = cards
  expect(x?.y).toBe(y?.y)
  expect(x?.x).toBeLessThan(y?.x ?? 0)
  expect(frames).toHaveLength(1)
  expect(contains(frames[0] as Box, z as Box)).toBe(true)
  expect(labels.map((each) => each.text)).toEqual(["then", "else", "do"])
  expect(gaps).toHaveLength(9)
})

test("300 steps are laid out in a few milliseconds", () => {
  const flow = flowOf(
    Array.from({ length: 60 }, () => ({
      for: "a",
      in: "=b",
      do: [{ log: "x" }, { if: "=c", then: [{ log: "x" }], else: [{ log: "y" }] }],
    })),
  )
  expect([...spotsIn(flow)]).toHaveLength(300)
  layOut(flow)
  const begun = performance.now()
  for (let n = 0; n < 10; n++) layOut(flow)
  expect((performance.now() - begun) / 10).toBeLessThan(30)
})

test("the arrows come to every step and every empty branch", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const flow = flowOf(stepsBy(dice(seed), 2, 3))
    const found = new Set<string>([TRIGGER])
    const open: string[] = [TRIGGER]
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      for (const way of ["up", "down", "left", "right"] as const) {
        const next = walked(flow, at, way)
        if (next !== null && !found.has(next)) {
          found.add(next)
          open.push(next)
        }
      }
    }
    for (const { node } of spotsIn(flow)) {
      expect(found).toContain(node.key)
      for (const block of node.blocks) {
        if (block.nodes.length === 0) {
          expect(found).toContain(`${node.key}/${block.path.slice(node.path.length).join("/")}`)
        }
      }
    }
  }
})
