import type { Schemas } from "~/api/client"

type Flow = Schemas["FlowOutline"]
type Node = Schemas["OutlineNode"]

/** An app that a flow calls: its component, and what it is called for. */
export type App = { component: string; calls: string[] }

/** Return the component of an action, a trigger, or of a connection's type. */
export function componentOf(name: string): string {
  return /^[^.:]+/.exec(name)?.[0] ?? name
}

/** Return the apps that a flow calls, in the order in which its text first names them. */
export function appsOf(flow: Flow): App[] {
  const found = new Map<string, App>()
  const add = (nodes: readonly Node[]) => {
    for (const node of nodes) {
      const action = (node.fields as Record<string, unknown>)["action"]
      if (typeof action === "string" && action.includes(".")) {
        const component = componentOf(action)
        const app = found.get(component) ?? { component, calls: [] }
        found.set(component, app)
        app.calls.push(node.title ?? action)
      }
      for (const block of node.blocks) add(block.nodes)
    }
  }
  add(flow.steps)
  return [...found.values()]
}

/** Count the steps of a flow, those within others too. */
export function stepsIn(nodes: readonly Node[]): number {
  return nodes.reduce(
    (sum, node) => sum + 1 + node.blocks.reduce((inner, block) => inner + stepsIn(block.nodes), 0),
    0,
  )
}

const NAMES: Record<string, string> = { github: "GitHub", hubspot: "HubSpot", sendgrid: "SendGrid" }
const INITIALS = new Set(["http", "smtp", "sftp", "imap", "soap", "ldap"])

/** Return what people read of a component: `Salesforce` of `salesforce`, `HTTP` of `http`. */
export function nameOf(component: string): string {
  const own = NAMES[componentOf(component)]
  if (own !== undefined) return own
  const words = componentOf(component).replaceAll(/[_-]/g, " ")
  if (words.length <= 3 || INITIALS.has(words)) return words.toUpperCase()
  return words.charAt(0).toUpperCase() + words.slice(1)
}
