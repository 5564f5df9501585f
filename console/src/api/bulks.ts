import type { Schemas } from "./client"

export type Bulk = Schemas["BulkView"]

export const VERBS = ["replay", "dismiss", "cancel", "upgrade"] as const
export const BULK_STATES = ["running", "paused", "succeeded", "failed", "cancelled"] as const
export type BulkFilter = {
  do?: (typeof VERBS)[number]
  state?: (typeof BULK_STATES)[number]
}

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
