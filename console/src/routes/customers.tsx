import { createRoute, lazyRouteComponent } from "@tanstack/react-router"
import type { CustomerFilter } from "~/api/customers"
import type { WizardPlace } from "~/features/instances/wizard"
import { WholePage } from "~/ui/list-page"
import { given, listSearch, texts, useListPlace } from "./list"
import { shellRoute } from "./shell"

const CustomersPage = lazyRouteComponent(() => import("~/features/customers/page"), "CustomersPage")
const CustomerDetailView = lazyRouteComponent(
  () => import("~/features/customers/detail"),
  "CustomerDetailView",
)
const Wizard = lazyRouteComponent(() => import("~/features/instances/wizard"), "Wizard")

function readFilter(search: Record<string, unknown>): CustomerFilter {
  return { ...texts(search, ["q"]), ...(search["private"] === true ? { private: true } : {}) }
}

export const customersRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/customers",
  validateSearch: listSearch(readFilter),
  component: function Customers() {
    return <CustomersPage {...useListPlace(readFilter)} />
  },
})

export const customerRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/customers/$customer",
  validateSearch: (search: Record<string, unknown>): { view?: string } => texts(search, ["view"]),
  component: function Customer() {
    const { customer } = customerRoute.useParams()
    const { view } = customerRoute.useSearch()
    const navigate = customerRoute.useNavigate()
    return (
      <WholePage>
        <CustomerDetailView
          key={customer}
          id={customer}
          view={view}
          onView={(next) => void navigate({ search: { view: next }, replace: true })}
          onGone={() => void navigate({ to: "/customers", search: {} })}
        />
      </WholePage>
    )
  },
})

export const activateRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/customers/$customer/activate",
  validateSearch: (search: Record<string, unknown>): WizardPlace => ({
    ...texts(search, ["integration", "version", "instance", "page"]),
  }),
  component: function Activate() {
    const { customer } = activateRoute.useParams()
    const place = activateRoute.useSearch()
    const navigate = activateRoute.useNavigate()
    return (
      <div className="h-full overflow-auto">
        <Wizard
          key={customer}
          customer={customer}
          place={place}
          onPlace={(next) => void navigate({ search: given(next) })}
        />
      </div>
    )
  },
})
