import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query"
import { answerOf, api, exactBody } from "~/api/client"
import { parseExact, type JsonText } from "~/api/exact"
import type { Schemas } from "~/api/client"
import { useSession } from "~/features/session/context"
import type { DraftHandle } from "../draft/handle"

/** A pin of a draft; its value is JSON as it was pinned. */
export type Pin = Omit<Schemas["PinView"], "value"> & { value: JsonText }

const VALUE = new Set(["value"])

/** The pins of a draft, which all who edit it share; none for those who may not see payloads. */
export function usePins(draft: DraftHandle): ReadonlyMap<string, Pin> {
  const { can } = useSession()
  const { data } = useQuery({
    queryKey: ["draft", draft.id, "pins", draft.revision],
    enabled: can("payloads"),
    queryFn: async ({ signal }) => {
      const params = { path: { draft: draft.id } }
      const text = await answerOf(
        api.GET("/api/drafts/{draft}/pins", { params, signal, parseAs: "text" }),
      )
      // A pinned null is a value, too.
      const pins = parseExact(text, VALUE) as (Omit<Pin, "value"> & { value: JsonText | null })[]
      return new Map(pins.map((each) => [each.node, { ...each, value: each.value ?? NULL }]))
    },
    placeholderData: keepPreviousData,
    staleTime: 60_000,
  })
  return data ?? NONE
}

const NULL = "null" as JsonText
const NONE: ReadonlyMap<string, Pin> = new Map()

/** Pin what a step answers, and unpin it. */
export function usePinning(draft: DraftHandle) {
  const queries = useQueryClient()
  const renew = () => queries.invalidateQueries({ queryKey: ["draft", draft.id, "pins"] })
  return {
    pin: async (node: string, value: string) => {
      const params = { path: { draft: draft.id, node } }
      const body = exactBody(`{"value":${value}}`)
      await answerOf(api.PUT("/api/drafts/{draft}/pins/{node}", { params, ...body }))
      await renew()
    },
    unpin: async (node: string) => {
      const params = { path: { draft: draft.id, node } }
      await answerOf(api.DELETE("/api/drafts/{draft}/pins/{node}", { params }))
      await renew()
    },
  }
}
