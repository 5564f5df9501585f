import { useState } from "react"
import { useSession } from "./context"

/** What the names of all that is typed begin with: it is forgotten as one signs out. */
export const PREFIX = "halflap-draft:"

const OPEN = ":open"

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
  const name = useDraftName(key)
  const [typed, setTyped] = useState(() => (readStored(name) ?? {}) as Partial<T>)
  const change = (part: Partial<T>) => {
    const next = { ...typed, ...part }
    setTyped(next)
    store(name, next)
  }
  const drop = () => {
    setTyped({})
    store(name, undefined)
  }
  return { now: { ...initial, ...typed }, change, changed: Object.keys(typed).length > 0, drop }
}

/** Which dialog is open, if one is: the tab has it over a reload and the end of the session, too. */
export function useOpened<T>(key: string): [T | null, (open: T | null) => void] {
  const name = `${useDraftName(key)}${OPEN}`
  const [opened, setOpened] = useState(() => (readStored(name) ?? null) as T | null)
  const open = (next: T | null) => {
    setOpened(next)
    store(name, next ?? undefined)
  }
  return [opened, open]
}

/** Return the name under which the tab keeps what this user types, by a key of the form. */
export function useDraftName(key: string): string {
  const { me } = useSession()
  return `${PREFIX}${me.user?.id ?? me.kind}:${key}`
}

/** Return what is kept under a name; undefined where nothing is. */
export function readStored(name: string): unknown {
  try {
    const text = sessionStorage.getItem(name)
    return text === null ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Keep a value under a name; undefined forgets it. */
export function store(name: string, value: unknown): void {
  try {
    if (value === undefined) sessionStorage.removeItem(name)
    else sessionStorage.setItem(name, JSON.stringify(value))
  } catch {
    // The browser keeps nothing: the form itself has it.
  }
}

/** True where the tab keeps something that was typed. */
export const hasDrafts = (): boolean => draftNames().some((name) => !name.endsWith(OPEN))

/** Forget every draft, as one signs out. */
export function forgetDrafts(): void {
  for (const name of draftNames()) sessionStorage.removeItem(name)
}

const draftNames = () => Object.keys(sessionStorage).filter((name) => name.startsWith(PREFIX))
