import { createRoute, lazyRouteComponent } from "@tanstack/react-router"
import { type InstanceFilter, STATES } from "~/api/instances"
import { given, texts, word } from "./list"
import { shellRoute } from "./shell"

const InstancesPage = lazyRouteComponent(() => import("~/features/instances/page"), "InstancesPage")
const InstanceDetailView = lazyRouteComponent(
  () => import("~/features/instances/detail"),
  "InstanceDetailView",
)

type Open = { open?: string; view?: string }

function readFilter(search: Record<string, unknown>): InstanceFilter {
  const state = STATES.find((each) => each === search["state"])
  return given({
    ...texts(search, ["q", "customer", "integration"]),
    version: word(search["version"]),
    state,
  })
}

export const instancesRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/instances",
  validateSearch: (search: Record<string, unknown>): InstanceFilter & Open => ({
    ...readFilter(search),
    ...texts(search, ["open", "view"]),
  }),
  component: function Instances() {
    const search = instancesRoute.useSearch()
    const navigate = instancesRoute.useNavigate()
    return (
      <InstancesPage
        filter={readFilter(search)}
        open={search.open}
        view={search.view}
        onFilter={(next) => void navigate({ search: given(next), replace: true })}
        onOpen={(open, view) =>
          void navigate({
            search: (now) => given({ ...readFilter(now), open, view }) as InstanceFilter & Open,
            replace: true,
          })
        }
      />
    )
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
      <div className="h-full overflow-auto">
        <div className="mx-auto max-w-5xl">
          <InstanceDetailView
            key={instance}
            id={instance}
            view={view}
            onView={(next) => void navigate({ search: { view: next }, replace: true })}
            onGone={() => void navigate({ to: "/instances", search: {} })}
          />
        </div>
      </div>
    )
  },
})
