import { useState } from "react"
import { useSession } from "./context"

/** What the names of all that is typed begin with: it is forgotten as one signs out. */
export const PREFIX = "halflap-draft:"

/** What is typed in a form, beside what it began with. */
export type Typed<T> = {
  now: T
  change: (part: Partial<T>) => void
  /** Something was typed, now or before. */
  changed: boolean
  /** Forget it: it was sent, or is not wanted. */
  drop: () => void
}

/**
 * Keep what is typed in a form until it is sent or discarded: the tab has it over a click beside a
 * dialog, a reload, and the end of the session. Secrets do not belong in it.
 */
export function useDraft<T extends object>(key: string, initial: T): Typed<T> {
  const { me } = useSession()
  const name = `${PREFIX}${me.user?.id ?? me.kind}:${key}`
  const [typed, setTyped] = useState(() => read<T>(name))
  const change = (part: Partial<T>) => {
    const next = { ...typed, ...part }
    setTyped(next)
    try {
      sessionStorage.setItem(name, JSON.stringify(next))
    } catch {
      // The browser keeps nothing: the form itself has it.
    }
  }
  const drop = () => {
    setTyped({})
    sessionStorage.removeItem(name)
  }
  return { now: { ...initial, ...typed }, change, changed: Object.keys(typed).length > 0, drop }
}

function read<T>(name: string): Partial<T> {
  try {
    return JSON.parse(sessionStorage.getItem(name) ?? "{}") as Partial<T>
  } catch {
    return {}
  }
}

/** Forget every draft, as one signs out. */
export function forgetDrafts(): void {
  for (const name of Object.keys(sessionStorage)) {
    if (name.startsWith(PREFIX)) sessionStorage.removeItem(name)
  }
}
