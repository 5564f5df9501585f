import { answerOf, api } from "~/api/client"
import type { Sandbox } from "~/api/connections"
import { loadCustomers } from "~/api/customers"
import type { Summary } from "~/api/execution"
import { loadInstances, type InstanceSummary } from "~/api/instances"

export const STEPS = ["sandboxes", "integration", "customer", "instance", "event", "end"] as const
export type Step = (typeof STEPS)[number]

/** The apps of the integration that first steps lead to. */
const GUIDED: ReadonlySet<string> = new Set(["acme", "salesforce"])

/** What there is at the server, as far as first steps go. */
export type Facts = {
  sandboxes: Sandbox[]
  integrations: string[]
  customer: { id: string; name: string } | undefined
  instance: InstanceSummary | undefined
  execution: Summary | undefined
}

/** Return the steps that are done, by what there is. */
export function doneOf({ sandboxes, integrations, ...facts }: Facts): ReadonlySet<Step> {
  const done: Record<Step, boolean> = {
    sandboxes: sandboxes.every((each) => each.state === "running"),
    integration: integrations.length > 0,
    customer: facts.customer !== undefined,
    instance: facts.instance?.state === "active",
    event: facts.execution !== undefined,
    end: facts.execution?.state === "succeeded",
  }
  return new Set(STEPS.filter((each) => done[each]))
}

/** Return the execution that is shown: one that succeeded, else the newest; not those of Halflap's own flows. */
export function shownOf(executions: readonly Summary[]): Summary | undefined {
  const some = executions.filter((each) => !each.flow.startsWith("$"))
  return some.find((each) => each.state === "succeeded") ?? some[0]
}

type Signal = { signal: AbortSignal }

export const factsQuery = {
  queryKey: ["guide"],
  queryFn: async ({ signal }: Signal): Promise<Facts> => {
    const few = (limit: number) => ({ params: { query: { limit } }, signal })
    const [sandboxes, integrations, customers, active, others, executions] = await Promise.all([
      answerOf(api.GET("/api/sandboxes", { signal })),
      answerOf(api.GET("/api/integrations", few(20))),
      loadCustomers({}, undefined, signal, 1),
      loadInstances({ state: "active" }, undefined, signal, 1),
      loadInstances({}, undefined, signal, 1),
      answerOf(api.GET("/api/executions", few(20))),
    ])
    return {
      sandboxes: sandboxes.filter((each) => GUIDED.has(each.app)),
      integrations: integrations.items.map((each) => each.title),
      customer: customers.items[0],
      instance: active.items[0] ?? others.items[0],
      execution: shownOf(executions.items),
    }
  },
}
