import { createRoute, lazyRouteComponent } from "@tanstack/react-router"
import { useCallback } from "react"
import type { Place } from "~/features/execution/detail"
import { type Filter, readFilter } from "~/features/executions/filter"
import type { Selection } from "~/features/executions/page"
import { text } from "./root"
import { shellRoute } from "./shell"

const ExecutionsPage = lazyRouteComponent(
  () => import("~/features/executions/page"),
  "ExecutionsPage",
)
const ExecutionPage = lazyRouteComponent(() => import("~/features/execution/page"), "ExecutionPage")

/** Read a place in an execution from a URL's search. */
export function readPlace(search: Record<string, unknown>): Place {
  const place: Place = {}
  for (const name of ["view", "step", "tab"] as const) {
    const value = text(search[name])
    if (value !== undefined) place[name] = value
  }
  return place
}

export const executionsRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/executions",
  validateSearch: (search: Record<string, unknown>): Filter & Selection => {
    const open = text(search["open"])
    return { ...readFilter(search), ...(open === undefined ? {} : { open, ...readPlace(search) }) }
  },
  component: function Executions() {
    const search = executionsRoute.useSearch()
    const navigate = executionsRoute.useNavigate()
    const filter = readFilter(search)
    const { open, view, step, tab } = search
    const selection: Selection = { open, view, step, tab }
    const select = useCallback(
      (next: Selection) =>
        void navigate({ search: (now) => ({ ...readFilter(now), ...next }), replace: true }),
      [navigate],
    )
    return (
      <ExecutionsPage
        filter={filter}
        selection={selection}
        onFilter={(next) => void navigate({ search: next })}
        onSelect={select}
      />
    )
  },
})

export const executionRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/executions/$execution",
  validateSearch: readPlace,
  component: function Execution() {
    const { execution } = executionRoute.useParams()
    const place = executionRoute.useSearch()
    const navigate = executionRoute.useNavigate()
    return (
      <ExecutionPage
        id={execution}
        place={place}
        onPlace={(next) => void navigate({ search: next, replace: true })}
      />
    )
  },
})
