import { useEffect, useSyncExternalStore } from "react"

/** Something that a page offers to be done, which the palette (⌘K) lists. */
export type Action = { key: string; title: string; hint?: string | undefined; run: () => void }

const listeners = new Set<() => void>()
let now: readonly Action[] = []

function tell(actions: readonly Action[]): void {
  now = actions
  for (const each of listeners) each()
}

/** Offer actions in the palette as long as the page is there. */
export function useOffered(actions: readonly Action[]): void {
  useEffect(() => {
    tell(actions)
    return () => tell([])
  }, [actions])
}

export function useActions(): readonly Action[] {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    () => now,
  )
}
