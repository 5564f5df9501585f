import { createRoute, lazyRouteComponent } from "@tanstack/react-router"
import { rootRoute } from "./root"

const PortalPage = lazyRouteComponent(() => import("~/features/receivers/portal"), "PortalPage")

const PREFIX = "#token="
const KEPT = "halflap-portal-token"

const keepToken = (token: string) => sessionStorage.setItem(KEPT, token)

/** Take the token out of the address, before the router reads that; a reload has it still. */
function takeToken(): string | null {
  if (window.location.hash.startsWith(PREFIX)) {
    keepToken(window.location.hash.slice(PREFIX.length))
    window.history.replaceState(null, "", window.location.pathname)
  }
  return sessionStorage.getItem(KEPT)
}

const shown = window.location.pathname.endsWith("/portal/webhooks")
const token = shown ? takeToken() : null

// Another link in the same tab changes what follows `#` alone: nothing of the one before may stay.
if (shown) {
  window.addEventListener("hashchange", () => {
    if (!window.location.hash.startsWith(PREFIX)) return
    takeToken()
    window.location.reload()
  })
}

function goOn(token: string): void {
  keepToken(token)
  window.location.reload()
}

export const portalRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/portal/webhooks",
  component: () => <PortalPage token={token} onToken={goOn} />,
})
