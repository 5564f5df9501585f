import { createRoute, lazyRouteComponent, redirect } from "@tanstack/react-router"
import type { OverviewFilter } from "~/features/overview/page"
import { useIsGuide } from "~/features/guide/store"
import { Loading } from "~/ui/notice"
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

const GuidePage = lazyRouteComponent(() => import("~/features/guide/page"), "GuidePage")

export const guideRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/first-steps",
  component: GuidePage,
})

export const overviewRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/overview",
  validateSearch: readFilter,
  component: function Overview() {
    const filter = overviewRoute.useSearch()
    const navigate = overviewRoute.useNavigate()
    const isGuide = useIsGuide()
    if (isGuide === undefined) return <Loading />
    if (isGuide) return <GuidePage />
    return (
      <OverviewPage
        filter={filter}
        onFilter={(next) => void navigate({ search: given(next), replace: true })}
      />
    )
  },
})
