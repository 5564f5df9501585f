import { QueryClient } from "@tanstack/react-query"
import { createRouter } from "@tanstack/react-router"
import { ApiError, NotUnderstood } from "~/api/problem"
import { accountRoute } from "~/routes/account"
import { activityRoutes } from "~/routes/activity"
import { connectedRoute, connectionsRoute } from "~/routes/connections"
import { activateRoute, customerRoute, customersRoute } from "~/routes/customers"
import { draftRoute, draftsRoute } from "~/routes/designer"
import { eventTypesRoute } from "~/routes/event-types"
import { executionRoute, executionsRoute } from "~/routes/executions"
import { bulksRoute, failuresRoute } from "~/routes/failures"
import { instanceRoute, instancesRoute } from "~/routes/instances"
import { integrationRoute, integrationsRoute } from "~/routes/integrations"
import { noteList } from "~/features/shell/way-back"
import { guideRoute, indexRoute, overviewRoute } from "~/routes/overview"
import { portalRoute } from "~/routes/portal"
import { rootRoute } from "~/routes/root"
import { searchRoute } from "~/routes/search"
import { missingRoute, shellRoute } from "~/routes/shell"
import { signInRoute } from "~/routes/sign-in"
import { ErrorNotice, Loading } from "~/ui/notice"
import { clearToasts } from "~/ui/toast"

const TRIES = 2

export const client = new QueryClient({
  defaultOptions: {
    queries: {
      // What the server refused, it refuses again; what did not reach it, is tried again.
      retry: (count, error) =>
        count < TRIES &&
        !(error instanceof ApiError && error.status < 500) &&
        !(error instanceof NotUnderstood),
      refetchOnWindowFocus: false,
      networkMode: "always",
    },
    mutations: { networkMode: "always" },
  },
})

export const router = createRouter({
  basepath: "/console",
  routeTree: rootRoute.addChildren([
    signInRoute,
    portalRoute,
    connectedRoute,
    shellRoute.addChildren([
      indexRoute,
      overviewRoute,
      guideRoute,
      executionsRoute,
      executionRoute,
      failuresRoute,
      bulksRoute,
      searchRoute,
      instancesRoute,
      instanceRoute,
      customersRoute,
      customerRoute,
      activateRoute,
      connectionsRoute,
      integrationsRoute,
      integrationRoute,
      draftsRoute,
      draftRoute,
      eventTypesRoute,
      ...activityRoutes,
      accountRoute,
      missingRoute,
    ]),
  ]),
  context: { client },
  defaultPreload: false,
  defaultErrorComponent: ({ error, reset }) => <ErrorNotice error={error} retry={reset} />,
  defaultPendingComponent: () => <Loading />,
  scrollRestoration: false,
})

router.subscribe("onBeforeNavigate", ({ pathChanged }) => pathChanged && clearToasts())
router.subscribe("onResolved", ({ toLocation }) => noteList(toLocation))

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router
  }
}
