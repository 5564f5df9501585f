import type { Schemas } from "~/api/client"
import { appsOf, componentOf } from "./apps"

type Flow = Schemas["FlowOutline"]
type Node = Schemas["OutlineNode"]

/** Where a flow begins that another flow starts: beside all apps. */
const ROUTED = "instance.routed"
/** What begins flows without being an app: it stands before the apps. */
const BEGINNINGS = new Set(["instance", "schedule", "webhook"])

/** An arrow of a flow to an app that it calls: the column, and what the app is called for. */
export type Arrow = { to: number; calls: string[] }

/** A flow: the column of the app that begins it, and its arrows; `back` is what that app is called for. */
export type Row = { flow: Flow; from: number; arrows: Arrow[]; back: string[] }

/** A flow (its row) that starts another one, or hands its events on to it. */
export type Call = { from: number; to: number; hands: boolean }

export type Overview = { apps: string[]; rows: Row[]; calls: Call[] }

/** Lay an integration out: an app a column, a flow a row of arrows from what begins it to what it calls. */
export function overviewOf(flows: readonly Flow[]): Overview {
  const called = flows.map(appsOf)
  const begun = flows.map(({ trigger }) => (trigger === ROUTED ? null : componentOf(trigger)))
  const named = flows.flatMap((_, at) => [
    ...(begun[at] == null ? [] : [begun[at]]),
    ...(called[at] ?? []).map((each) => each.component),
  ])
  const known = [...new Set(named)]
  const apps = [
    ...known.filter((each) => BEGINNINGS.has(each)),
    ...known.filter((each) => !BEGINNINGS.has(each)),
  ]
  const rows = flows.map((flow, at): Row => {
    const from = begun[at] == null ? apps.length : apps.indexOf(begun[at])
    const arrows = (called[at] ?? []).map((each) => ({
      to: apps.indexOf(each.component),
      calls: each.calls,
    }))
    const back = arrows.find((each) => each.to === from)?.calls ?? []
    return { flow, from, arrows: arrows.filter((each) => each.to !== from), back }
  })
  return { apps, rows, calls: callsOf(flows) }
}

function callsOf(flows: readonly Flow[]): Call[] {
  const places = new Map(flows.map((each, at) => [each.name, at]))
  const found = new Map<string, Call>()
  const look = (nodes: readonly Node[], from: number) => {
    for (const { kind, fields, blocks } of nodes) {
      const value = fields as Record<string, unknown>
      const name = kind === "call" ? value["call"] : kind === "route" ? value["flow"] : undefined
      const to = typeof name === "string" ? places.get(name) : undefined
      if (to !== undefined && to !== from) {
        found.set(`${from} ${to}`, { from, to, hands: kind === "route" })
      }
      for (const block of blocks) look(block.nodes, from)
    }
  }
  flows.forEach((flow, at) => look(flow.steps, at))
  return [...found.values()]
}

/** Return the lane of each call beside the rows: calls that pass each other have lanes of their own. */
export function lanesOf(calls: readonly Call[]): number[] {
  const taken: [low: number, high: number][][] = []
  return calls.map(({ from, to }) => {
    const low = Math.min(from, to)
    const high = Math.max(from, to)
    const free = taken.findIndex((lane) => lane.every(([a, b]) => high < a || b < low))
    const lane = free === -1 ? taken.length : free
    taken[lane] = [...(taken[lane] ?? []), [low, high]]
    return lane
  })
}
