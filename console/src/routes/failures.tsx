import { createRoute, lazyRouteComponent } from "@tanstack/react-router"
import { useCallback } from "react"
import { BULK_STATES, type BulkFilter, VERBS } from "~/api/bulks"
import { readFilter } from "~/features/executions/filter"
import type { FailureFilter } from "~/features/failures/page"
import { given, listSearch, useListPlace } from "./list"
import { text } from "./root"
import { shellRoute } from "./shell"

const FailuresPage = lazyRouteComponent(() => import("~/features/failures/page"), "FailuresPage")
const BulksPage = lazyRouteComponent(() => import("~/features/failures/bulks"), "BulksPage")

type Search = FailureFilter & { open?: string }

function readFailures(search: Record<string, unknown>): FailureFilter {
  const { customer, integration, flow, since } = readFilter(search)
  const found = {
    customer,
    integration,
    flow,
    since,
    dismissed: search["dismissed"] === true || undefined,
  }
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined))
}

export const failuresRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/failures",
  validateSearch: (search: Record<string, unknown>): Search => {
    const open = text(search["open"])
    return { ...readFailures(search), ...(open === undefined ? {} : { open }) }
  },
  component: function Failures() {
    const search = failuresRoute.useSearch()
    const navigate = failuresRoute.useNavigate()
    const open = useCallback(
      (cause: string | undefined) =>
        void navigate({
          search: (now) => ({
            ...readFailures(now),
            ...(cause === undefined ? {} : { open: cause }),
          }),
          replace: true,
        }),
      [navigate],
    )
    return (
      <FailuresPage
        filter={readFailures(search)}
        open={search.open}
        onFilter={(next) => void navigate({ search: next })}
        onOpen={open}
      />
    )
  },
})

function readBulks(search: Record<string, unknown>): BulkFilter {
  return given({
    do: VERBS.find((each) => each === search["do"]),
    state: BULK_STATES.find((each) => each === search["state"]),
  })
}

export const bulksRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/failures/bulks",
  validateSearch: listSearch(readBulks),
  component: function Bulks() {
    return <BulksPage {...useListPlace(readBulks)} />
  },
})
