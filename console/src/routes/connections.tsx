import { createRoute, lazyRouteComponent } from "@tanstack/react-router"
import { useQuery } from "@tanstack/react-query"
import type { ConnectionFilter, ConnectionStatus } from "~/api/connections"
import { meQuery } from "~/api/session"
import type { Brought } from "~/features/connections/connected"
import { Loading } from "~/ui/notice"
import { given, listSearch, texts, useListPlace } from "./list"
import { rootRoute } from "./root"
import { shellRoute } from "./shell"

const ConnectionsPage = lazyRouteComponent(
  () => import("~/features/connections/page"),
  "ConnectionsPage",
)
const ConnectedPage = lazyRouteComponent(
  () => import("~/features/connections/connected"),
  "ConnectedPage",
)

const STATUSES: readonly ConnectionStatus[] = ["untested", "working", "unauthorized", "away"]

function readFilter(search: Record<string, unknown>): ConnectionFilter {
  const status = STATUSES.find((each) => each === search["status"])
  return given({
    ...texts(search, ["q", "customer", "component"]),
    status,
  })
}

export const connectionsRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/connections",
  validateSearch: listSearch(readFilter),
  component: function Connections() {
    return <ConnectionsPage {...useListPlace(readFilter)} />
  },
})

/** Where apps send the browser back to after a sign-in: a page of its own, in the window of that. */
export const connectedRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/connected",
  validateSearch: (search: Record<string, unknown>): Brought => ({
    ...texts(search, ["error", "error_description", "state", "code"]),
  }),
  component: function Connected() {
    const brought = connectedRoute.useSearch()
    const me = useQuery(meQuery)
    if (me.data === undefined) return <Loading lines={3} />
    return <ConnectedPage brought={brought} signedIn={me.data !== null} />
  },
})
