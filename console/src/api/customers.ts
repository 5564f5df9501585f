import { queryOptions } from "@tanstack/react-query"
import { answerOf, api, type Schemas, taggedOf } from "./client"
import type { Page } from "./list"

export type Customer = Schemas["CustomerView"]
export type CustomerDetail = Schemas["CustomerDetail"]
export type CustomerFilter = { q?: string; private?: boolean }

export const PAGE = 200

export const customersKey = (filter: CustomerFilter) => ["customers", "list", filter]

export function loadCustomers(
  filter: CustomerFilter,
  after: string | undefined,
  signal: AbortSignal,
  limit = PAGE,
): Promise<Page<Customer>> {
  const query = {
    ...filter,
    limit,
    ...(after === undefined ? { total: true } : { after }),
  }
  return answerOf(api.GET("/api/customers", { params: { query }, signal }))
}

export const customerQuery = (customer: string) =>
  queryOptions({
    queryKey: ["customers", "one", customer],
    queryFn: ({ signal }) =>
      taggedOf(api.GET("/api/customers/{customer}", { params: { path: { customer } }, signal })),
  })

export const tokensQuery = (customer: string) =>
  queryOptions({
    queryKey: ["customers", "one", customer, "tokens"],
    queryFn: async ({ signal }) =>
      (await answerOf(api.GET("/api/tokens", { params: { query: { customer } }, signal }))).items,
  })

export const causesQuery = (query: { customer?: string; instance?: string }) =>
  queryOptions({
    queryKey: ["causes", "few", query],
    queryFn: ({ signal }) =>
      answerOf(
        api.GET("/api/executions/causes", { params: { query: { ...query, limit: 5 } }, signal }),
      ),
  })
