import { createRoute, lazyRouteComponent } from "@tanstack/react-router"
import { type InstanceFilter, STATES } from "~/api/instances"
import { WholePage } from "~/ui/list-page"
import { given, listSearch, texts, useListPlace } from "./list"
import { shellRoute } from "./shell"

const InstancesPage = lazyRouteComponent(() => import("~/features/instances/page"), "InstancesPage")
const InstanceDetailView = lazyRouteComponent(
  () => import("~/features/instances/detail"),
  "InstanceDetailView",
)

function readFilter(search: Record<string, unknown>): InstanceFilter {
  const state = STATES.find((each) => each === search["state"])
  const paused = search["paused"] === true || undefined
  return given({ ...texts(search, ["q", "customer", "integration", "version"]), state, paused })
}

export const instancesRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/instances",
  validateSearch: listSearch(readFilter),
  component: function Instances() {
    return <InstancesPage {...useListPlace(readFilter)} />
  },
})

export const instanceRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/instances/$instance",
  validateSearch: (search: Record<string, unknown>): { view?: string } => texts(search, ["view"]),
  component: function Instance() {
    const { instance } = instanceRoute.useParams()
    const { view } = instanceRoute.useSearch()
    const navigate = instanceRoute.useNavigate()
    return (
      <WholePage>
        <InstanceDetailView
          key={instance}
          id={instance}
          view={view}
          onView={(next) => void navigate({ search: { view: next }, replace: true })}
          onGone={() => void navigate({ to: "/instances", search: {} })}
        />
      </WholePage>
    )
  },
})
