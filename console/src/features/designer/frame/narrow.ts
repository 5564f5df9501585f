import { useSyncExternalStore } from "react"

/** Below it there is no room for a panel beside the drawing: it is beneath (Tailwind's `lg`). */
const NARROW = window.matchMedia("(max-width: 1023.9px)")

/** The key of what is selected, beneath the drawing. */
export const STEP = "step"

export const isNarrow = (): boolean => NARROW.matches

function subscribe(listener: () => void): () => void {
  NARROW.addEventListener("change", listener)
  return () => NARROW.removeEventListener("change", listener)
}

/** Return whether the window has no room for a panel beside the drawing. */
export function useNarrow(): boolean {
  return useSyncExternalStore(subscribe, isNarrow)
}
