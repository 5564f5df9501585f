import { useNavigate, useSearch } from "@tanstack/react-router"
import { useCallback } from "react"
import type { ListPlace } from "~/ui/list-page"
import { text } from "./root"

type Search = Record<string, unknown>
type Open = { open?: string; view?: string }

/** Read the texts of an address that a list knows; what it does not know is dropped. */
export function texts<Name extends string>(
  search: Search,
  names: readonly Name[],
): Partial<Record<Name, string>> {
  const found: Partial<Record<Name, string>> = {}
  for (const name of names) {
    const value = word(search[name])
    if (value !== undefined) found[name] = value
  }
  return found
}

/** Read a text of an address; one that looks like a number comes out of it as one. */
export function word(value: unknown): string | undefined {
  return typeof value === "number" ? String(value) : text(value)
}

/** Leave out what is undefined. */
export function given<T extends object>(some: T): T {
  return Object.fromEntries(Object.entries(some).filter(([, each]) => each !== undefined)) as T
}

/** Return how a list's address is read: its filter, and what is open of it. */
export function listSearch<Filter extends object>(read: (search: Search) => Filter) {
  return (search: Search): Filter & Open => ({
    ...read(search),
    ...texts(search, ["open", "view"]),
  })
}

/** The place of a list in the address of its page. */
export function useListPlace<Filter extends object>(
  read: (search: Search) => Filter,
): ListPlace<Filter> {
  const search: Search = useSearch({ strict: false })
  const navigate = useNavigate()
  const go = useCallback(
    (change: (now: Search) => object) =>
      void navigate({ to: ".", search: change as never, replace: true }),
    [navigate],
  )
  const onOpen = useCallback(
    (open: string | undefined, view?: string) => go((now) => given({ ...read(now), open, view })),
    [go, read],
  )
  const onFilter = useCallback((filter: Filter) => go(() => given(filter)), [go])
  const { open, view } = texts(search, ["open", "view"])
  return { filter: read(search), open, view, onFilter, onOpen }
}
