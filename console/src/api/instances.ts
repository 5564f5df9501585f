import { queryOptions } from "@tanstack/react-query"
import { answerOf, api, type Schemas, taggedOf } from "./client"
import { parseExact } from "./exact"
import type { Page } from "./list"

export type Instance = Omit<Schemas["InstanceView"], "config">
export type InstanceSummary = Schemas["InstanceSummary"]
export type InstanceState = InstanceSummary["state"]
export type Form = Schemas["FormView"]
export type FormField = Schemas["ConfigFormField"]
export type Slot = Schemas["ConnectionSlot"]
export type InstanceFilter = {
  q?: string
  customer?: string
  integration?: string
  version?: string
  state?: InstanceState
  paused?: true
}

export const STATES: readonly InstanceState[] = [
  "configured",
  "activating",
  "active",
  "upgrading",
  "disabling",
  "disabled",
  "failed",
]
const PAGE = 200

/** True while it moves from one state to another. */
export const isMoving = (state: InstanceState): boolean => state.endsWith("ing")

export function loadInstances(
  filter: InstanceFilter,
  after: string | undefined,
  signal: AbortSignal,
  limit = PAGE,
): Promise<Page<InstanceSummary>> {
  const query = { ...filter, limit, ...(after === undefined ? { total: true } : { after }) }
  return answerOf(api.GET("/api/instances", { params: { query }, signal }))
}

/** An instance, its config as JSON text with all digits. */
export const instanceQuery = (instance: string) =>
  queryOptions({
    queryKey: ["instances", "one", instance],
    queryFn: async ({
      signal,
    }): Promise<{ value: Instance; config: string; etag: string | null }> => {
      const params = { path: { instance } }
      const { value: text, etag } = await taggedOf(
        api.GET("/api/instances/{instance}", { params, signal, parseAs: "text" }),
      )
      const { config, ...value } = JSON.parse(text) as Schemas["InstanceView"]
      return { value, config: memberText(text, "config") ?? JSON.stringify(config), etag }
    },
  })

export const healthQuery = (instance: string) =>
  queryOptions({
    queryKey: ["instances", "one", instance, "health"],
    queryFn: async ({ signal }) =>
      (
        await answerOf(
          api.GET("/api/instances/health", { params: { query: { instance: [instance] } }, signal }),
        )
      )[0],
  })

export const listenersQuery = (instance: string) =>
  queryOptions({
    queryKey: ["instances", "one", instance, "listeners"],
    refetchInterval: 10_000,
    queryFn: async ({ signal }) => {
      const params = { path: { instance } }
      const path = "/api/instances/{instance}/listeners"
      return (await answerOf(api.GET(path, { params, signal }))).items
    },
  })

/** The listeners of all instances that stand still: parked or stopped. */
export const haltedQuery = queryOptions({
  queryKey: ["listeners", "halted"],
  refetchInterval: 10_000,
  queryFn: async ({ signal }) => {
    const query = { limit: 1_000 }
    return (await answerOf(api.GET("/api/listeners", { params: { query }, signal }))).items
  },
})

export const healthsQuery = (instances: string[]) =>
  queryOptions({
    queryKey: ["instances", "healths", instances],
    enabled: instances.length > 0,
    queryFn: async ({ signal }) => {
      const query = { instance: instances }
      const found = await answerOf(api.GET("/api/instances/health", { params: { query }, signal }))
      return new Map(found.map((each) => [each.instance, each]))
    },
  })

export const formQuery = (integration: string, version: string) =>
  queryOptions({
    queryKey: ["form", integration, version],
    staleTime: 60_000,
    queryFn: ({ signal }): Promise<Form> =>
      answerOf(
        api.GET("/api/integrations/{integration}/versions/{version}/form", {
          params: { path: { integration, version } },
          signal,
        }),
      ),
  })

/** The text of one member of a JSON object, as it came. */
function memberText(text: string, name: string): string | undefined {
  const found = parseExact(text, new Set([name])) as Record<string, string | null>
  return found[name] ?? undefined
}
