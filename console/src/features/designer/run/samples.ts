import { useMemo } from "react"
import type { Schemas } from "~/api/client"
import type { DraftHandle } from "../draft/handle"
import type { Path } from "../draft/types"
import type { Json } from "../fields/model"
import { useRuns } from "./context"
import { samplesOf } from "./rows"

const NONE: Readonly<Record<string, Json>> = {}

/** What the latest run gave for the names in scope at an address. */
export function useSamples(
  draft: DraftHandle,
  path: Path,
  scope: readonly Schemas["ScopedView"][] | undefined,
): Readonly<Record<string, Json>> {
  const runs = useRuns()
  const flow = draft.flows.find((each) => path[0] === "flows" && each.name === path[1])
  const over = runs?.over ?? null
  const event = runs?.event ?? null
  return useMemo(
    () =>
      over === null || flow === undefined || scope === undefined
        ? NONE
        : samplesOf(scope, flow, over, event),
    [over, flow, scope, event],
  )
}
