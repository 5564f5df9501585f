import { createRoute, lazyRouteComponent } from "@tanstack/react-router"
import { rootRoute } from "./root"

const PortalPage = lazyRouteComponent(() => import("~/features/receivers/portal"), "PortalPage")

const PREFIX = "#token="
const KEPT = "halflap-portal-token"

/** Take the token out of the address, before the router reads that; a reload has it still. */
function takeToken(): string | null {
  if (window.location.hash.startsWith(PREFIX)) {
    sessionStorage.setItem(KEPT, window.location.hash.slice(PREFIX.length))
    window.history.replaceState(null, "", window.location.pathname)
  }
  return sessionStorage.getItem(KEPT)
}

const token = window.location.pathname.endsWith("/portal/webhooks") ? takeToken() : null

export const portalRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/portal/webhooks",
  component: () => <PortalPage token={token} />,
})
