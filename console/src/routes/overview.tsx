import { createRoute, lazyRouteComponent, redirect } from "@tanstack/react-router"
import type { OverviewFilter } from "~/features/overview/page"
import { given, texts } from "./list"
import { shellRoute } from "./shell"

const OverviewPage = lazyRouteComponent(() => import("~/features/overview/page"), "OverviewPage")

const PERIODS = ["1h", "24h", "7d", "30d"] as const

function readFilter(search: Record<string, unknown>): OverviewFilter {
  const period = PERIODS.find((each) => each === search["period"])
  return given({ ...texts(search, ["customer", "integration"]), period })
}

export const indexRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/overview", search: {} })
  },
})

export const overviewRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/overview",
  validateSearch: readFilter,
  component: function Overview() {
    const filter = overviewRoute.useSearch()
    const navigate = overviewRoute.useNavigate()
    return (
      <OverviewPage
        filter={filter}
        onFilter={(next) => void navigate({ search: given(next), replace: true })}
      />
    )
  },
})
