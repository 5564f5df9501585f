const KEY = "halflap-list"
const LISTS = ["/executions", "/failures", "/search"] as const

type Noted = { pathname: string; searchStr: string }

/** The list that was looked at last in this tab, with its filter and what was open in it. */
export type WayBack = { list: (typeof LISTS)[number]; search: string }

/** Note where one is, if it is a list that leads to executions. */
export function noteList({ pathname, searchStr }: Noted): void {
  if (LISTS.some((each) => each === pathname)) sessionStorage.setItem(KEY, pathname + searchStr)
}

/** Return the list to go back to from an execution: the last one, else that of all executions. */
export function wayBack(): WayBack {
  const [pathname, search = ""] = (sessionStorage.getItem(KEY) ?? "").split("?", 2)
  const list = LISTS.find((each) => each === pathname) ?? "/executions"
  return { list, search: search === "" ? "" : `?${search}` }
}
