import { createRoute, lazyRouteComponent } from "@tanstack/react-router"
import { WholePage } from "~/ui/list-page"
import { texts } from "./list"
import { shellRoute } from "./shell"

const EventTypesPage = lazyRouteComponent(
  () => import("~/features/event-types/page"),
  "EventTypesPage",
)

export const eventTypesRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/event-types",
  validateSearch: (search: Record<string, unknown>): { open?: string } => texts(search, ["open"]),
  component: function EventTypes() {
    const { open } = eventTypesRoute.useSearch()
    const navigate = eventTypesRoute.useNavigate()
    return (
      <WholePage>
        <EventTypesPage
          open={open}
          onOpen={(next) =>
            void navigate({ search: next === undefined ? {} : { open: next }, replace: true })
          }
        />
      </WholePage>
    )
  },
})
