import { answerOf, api, type Schemas } from "./client"

export type Bulk = Schemas["BulkView"]

export const VERBS = ["replay", "dismiss", "cancel", "upgrade"] as const
export const BULK_STATES = ["running", "paused", "succeeded", "failed", "cancelled"] as const
export type BulkFilter = {
  do?: (typeof VERBS)[number]
  state?: (typeof BULK_STATES)[number]
}

/** Return how a bulk's state is shown: one that went through all has ended; what it began may have failed. */
export const shownState = (state: Bulk["state"]) => (state === "succeeded" ? "ended" : state)

const NAMES = ["customer", "instance", "integration", "flow", "cause", "key", "reason"] as const

/** Return what a bulk is about, as far as a list of executions can be filtered by it. */
export function whichOf({
  wanted,
}: Pick<Bulk, "wanted">): Partial<Record<(typeof NAMES)[number], string>> {
  const where = (wanted["where"] ?? {}) as Record<string, unknown>
  return Object.fromEntries(
    NAMES.map((name) => [name, where[name]]).filter(
      ([, value]) => typeof value === "string" && value !== "",
    ),
  ) as ReturnType<typeof whichOf>
}

export const bulkQuery = (bulk: string) => ({
  queryKey: ["bulk", bulk],
  queryFn: ({ signal }: { signal: AbortSignal }): Promise<Bulk> =>
    answerOf(api.GET("/api/bulks/{bulk}", { params: { path: { bulk } }, signal })),
})

export type BulkTurn = "pause" | "resume" | "cancel" | "back"

/** Let a bulk stand still, go on, end, or make the one that takes it back, which is returned then. */
export function turnBulk(bulk: string, turn: BulkTurn): Promise<Bulk> {
  const given = { params: { path: { bulk } } }
  switch (turn) {
    case "pause":
      return answerOf(api.POST("/api/bulks/{bulk}/pause", given))
    case "resume":
      return answerOf(api.POST("/api/bulks/{bulk}/resume", given))
    case "cancel":
      return answerOf(api.POST("/api/bulks/{bulk}/cancel", given))
    case "back":
      return answerOf(api.POST("/api/bulks/{bulk}/back", given))
  }
}
