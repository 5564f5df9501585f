import { keepPreviousData } from "@tanstack/react-query"
import type { Bulk } from "~/api/bulks"
import { answerOf, api, type Schemas } from "~/api/client"

export type Integration = Schemas["IntegrationView"]
export type Version = Schemas["VersionSummary"]
export type Diff = Schemas["DiffView"]
type Signal = { signal: AbortSignal }

const MOST_PAGES = 20

export const integrationsQuery = {
  queryKey: ["integrations"],
  queryFn: async ({ signal }: Signal): Promise<Integration[]> => {
    const found: Integration[] = []
    let after: string | null = null
    for (let page = 0; page < MOST_PAGES; page++) {
      const query: { limit: number; after?: string } = { limit: 200 }
      if (after !== null) query.after = after
      const answer: Schemas["IntegrationPage"] = await answerOf(
        api.GET("/api/integrations", { params: { query }, signal }),
      )
      found.push(...answer.items)
      after = answer.next ?? null
      if (after === null) break
    }
    return found
  },
}

export const integrationQuery = (integration: string) => ({
  queryKey: ["integrations", integration],
  queryFn: ({ signal }: Signal): Promise<Integration> =>
    answerOf(
      api.GET("/api/integrations/{integration}", { params: { path: { integration } }, signal }),
    ),
})

/** A version in full never changes. */
export const versionQuery = (integration: string, version: string) => ({
  queryKey: ["version", integration, version],
  staleTime: Infinity,
  queryFn: ({ signal }: Signal): Promise<Schemas["VersionView"]> =>
    answerOf(
      api.GET("/api/integrations/{integration}/versions/{version}", {
        params: { path: { integration, version } },
        signal,
      }),
    ),
})

export const outlineQuery = (integration: string, version: string) => ({
  queryKey: ["outline", integration, version],
  staleTime: Infinity,
  queryFn: ({ signal }: Signal): Promise<Schemas["Outline"]> =>
    answerOf(
      api.GET("/api/integrations/{integration}/versions/{version}/outline", {
        params: { path: { integration, version } },
        signal,
      }),
    ),
})

export const endpointsQuery = (integration: string) => ({
  queryKey: ["endpoints", integration],
  queryFn: ({ signal }: Signal): Promise<Schemas["SharedEndpointView"][]> =>
    answerOf(
      api.GET("/api/integrations/{integration}/endpoints", {
        params: { path: { integration } },
        signal,
      }),
    ),
})

export const diffQuery = (integration: string, from: string, to: string) => ({
  queryKey: ["diff", integration, from, to],
  staleTime: Infinity,
  placeholderData: keepPreviousData,
  queryFn: ({ signal }: Signal): Promise<Diff> =>
    answerOf(
      api.GET("/api/integrations/{integration}/diff", {
        params: { path: { integration }, query: { from, to } },
        signal,
      }),
    ),
})

export const rolloutsQuery = (integration: string) => ({
  queryKey: ["rollouts", integration],
  queryFn: async ({ signal }: Signal): Promise<Bulk[]> => {
    const query = { upgrades_of: integration, limit: 50 }
    return (await answerOf(api.GET("/api/bulks", { params: { query }, signal }))).items
  },
})

export const figuresQuery = (bulk: string) => ({
  queryKey: ["rollout", bulk],
  queryFn: ({ signal }: Signal): Promise<Schemas["RolloutView"]> =>
    answerOf(api.GET("/api/bulks/{bulk}/rollout", { params: { path: { bulk } }, signal })),
})
