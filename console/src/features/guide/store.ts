import { useQuery } from "@tanstack/react-query"
import { useSyncExternalStore } from "react"
import { answerOf, api } from "~/api/client"
import { useSession } from "~/features/session/context"

const KEY = "halflap-first-steps"
const listeners = new Set<() => void>()

/** `begun` while the overview shows the first steps, `over` where the reader wants them no more. */
type Progress = "begun" | "over"

function read(): string | null {
  return localStorage.getItem(KEY)
}

export function setProgress(progress: Progress): void {
  localStorage.setItem(KEY, progress)
  for (const each of listeners) each()
}

/** True where the signed-in person may do the first steps. */
export function useMayBegin(): boolean {
  const { can } = useSession()
  return can("publish") && can("configure")
}

/**
 * Return whether the overview is the first steps: on a server without an integration, and from then
 * on until they are put away. Undefined while that is not known.
 */
export function useIsGuide(): boolean | undefined {
  const may = useMayBegin()
  const progress = useSyncExternalStore((listener) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  }, read)
  const asks = may && progress === null
  const empty = useQuery({
    queryKey: ["guide", "empty"],
    enabled: asks,
    queryFn: async ({ signal }) => {
      const query = { limit: 1 }
      const found = await answerOf(api.GET("/api/integrations", { params: { query }, signal }))
      return found.items.length === 0
    },
  })
  if (!asks) return may && progress === "begun"
  return empty.isError ? false : empty.data
}
