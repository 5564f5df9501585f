import { getRouteApi } from "@tanstack/react-router"
import { useCallback } from "react"
import { readFilter } from "~/features/executions/filter"
import { SearchPage, type Selection } from "~/features/search/page"

const route = getRouteApi("/shell/search")

export function SearchRoute() {
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const { q, open, view, step, tab } = search
  const select = useCallback(
    (next: Selection) =>
      void navigate({
        search: (now) => ({
          ...(now.q === undefined ? {} : { q: now.q }),
          ...readFilter(now),
          ...next,
        }),
        replace: true,
      }),
    [navigate],
  )
  return (
    <SearchPage
      text={q ?? ""}
      filter={readFilter(search)}
      selection={{ open, view, step, tab }}
      onSearch={(text, filter) =>
        void navigate({ search: { ...(text === "" ? {} : { q: text }), ...filter } })
      }
      onSelect={select}
    />
  )
}
