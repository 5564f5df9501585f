import { createContext, use } from "react"

export type Listed = { choices: { value: string; label: string }[]; next: string | null }

/** Asks the connected app for the choices of a field: its path, what people type, a page's cursor. */
export type ListChoices = (
  name: string,
  search: string,
  cursor: string | null,
  signal: AbortSignal,
) => Promise<Listed>

export const ChoicesContext = createContext<{
  list: ListChoices | null
  /** Changes whenever what the choices depend on does. */
  version: (depends: readonly string[]) => string
}>({ list: null, version: () => "" })

export const useChoices = () => use(ChoicesContext)
