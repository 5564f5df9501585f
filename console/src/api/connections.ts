import { queryOptions } from "@tanstack/react-query"
import { answerOf, api, type Schemas, taggedOf } from "./client"
import type { Page } from "./list"

export type Connection = Schemas["ConnectionView"]
export type ConnectionDetail = Schemas["ConnectionDetail"]
export type ConnectionStatus = Connection["status"] | "away"
export type ConnectionFilter = {
  q?: string
  customer?: string
  component?: string
  status?: ConnectionStatus
}

const PAGE = 200

export function loadConnections(
  filter: ConnectionFilter,
  after: string | undefined,
  signal: AbortSignal,
  limit = PAGE,
): Promise<Page<Connection>> {
  const query = { ...filter, limit, ...(after === undefined ? { total: true } : { after }) }
  return answerOf(api.GET("/api/connections", { params: { query }, signal }))
}

export const connectionQuery = (connection: string) =>
  queryOptions({
    queryKey: ["connections", "one", connection],
    queryFn: ({ signal }) =>
      taggedOf(
        api.GET("/api/connections/{connection}", { params: { path: { connection } }, signal }),
      ),
  })

/** The connections that a customer's config may name: of one component, its own and the team's. */
export const usableQuery = (customer: string, component: string) =>
  queryOptions({
    queryKey: ["connections", "usable", customer, component],
    queryFn: async ({ signal }) =>
      (await loadConnections({ customer, component }, undefined, signal, 1_000)).items,
  })

export const componentsQuery = queryOptions({
  queryKey: ["components"],
  staleTime: 300_000,
  queryFn: ({ signal }) =>
    answerOf(api.GET("/api/components", { params: { query: { schemas: false } }, signal })),
})

export type Sandbox = Schemas["FoundSandbox"]

/** The sandbox apps that this server knows of, with the values of a connection to those that run. */
export const sandboxesQuery = queryOptions({
  queryKey: ["sandboxes"],
  queryFn: ({ signal }) => answerOf(api.GET("/api/sandboxes", { signal })),
})

export function testConnection(connection: string): Promise<Connection> {
  return answerOf(
    api.POST("/api/connections/{connection}/test", { params: { path: { connection } } }),
  )
}
