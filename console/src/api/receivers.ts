import { queryOptions } from "@tanstack/react-query"
import { answerOf, api, type Schemas } from "./client"

export type Receiver = Schemas["ReceiverView"]

export const receiversQuery = (customer: string) =>
  queryOptions({
    queryKey: ["customers", "one", customer, "receivers"],
    queryFn: async ({ signal }) =>
      (await answerOf(api.GET("/api/receivers", { params: { query: { customer } }, signal })))
        .items,
  })

export const receiverQuery = (receiver: string) =>
  queryOptions({
    queryKey: ["instances", "one", receiver, "receiver"],
    queryFn: ({ signal }) =>
      answerOf(api.GET("/api/receivers/{receiver}", { params: { path: { receiver } }, signal })),
  })

/** An event type as receivers know it: by name, with a title; `sample` is true where it has an example. */
export type Offered = { name: string; title: string; sample: boolean }

type Document = {
  webhooks: Record<
    string,
    {
      post: {
        summary: string
        requestBody: { content: Record<string, { example?: unknown }> }
      }
    }
  >
}

/** The event types that a receiver may be sent: read from the document of the webhooks. */
export const offeredQuery = queryOptions({
  queryKey: ["event-types", "offered"],
  staleTime: 60_000,
  queryFn: async ({ signal }): Promise<Offered[]> => {
    const found = (await answerOf(api.GET("/api/event-types/openapi.json", { signal }))) as Document
    return Object.entries(found.webhooks).map(([name, { post }]) => ({
      name,
      title: post.summary,
      sample: post.requestBody.content["application/json"]?.example !== undefined,
    }))
  },
})

export const recoveryQuery = (receiver: string, since: string) =>
  queryOptions({
    queryKey: ["receivers", receiver, "recovery", since],
    queryFn: ({ signal }) =>
      answerOf(
        api.GET("/api/receivers/{receiver}/recovery", {
          params: { path: { receiver }, query: { since } },
          signal,
        }),
      ),
  })

export const deliveriesQuery = (receiver: string) =>
  queryOptions({
    queryKey: ["receivers", receiver, "deliveries"],
    queryFn: async ({ signal }) => {
      const query = { instance: receiver, flow: "deliver", limit: 20 }
      return (await answerOf(api.GET("/api/executions", { params: { query }, signal }))).items
    },
  })

/** What was answered to each try of a delivery. */
export const triesQuery = (execution: string) =>
  queryOptions({
    queryKey: ["receivers", "tries", execution],
    queryFn: async ({ signal }) => {
      const params = { path: { execution } }
      const found = await answerOf(api.GET("/api/executions/{execution}", { params, signal }))
      return found.steps.filter((each) => each.kind === "action")
    },
  })
