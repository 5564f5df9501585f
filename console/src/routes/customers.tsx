import { createRoute, lazyRouteComponent } from "@tanstack/react-router"
import type { CustomerFilter } from "~/api/customers"
import type { WizardPlace } from "~/features/instances/wizard"
import { given, texts, word } from "./list"
import { shellRoute } from "./shell"

const CustomersPage = lazyRouteComponent(() => import("~/features/customers/page"), "CustomersPage")
const CustomerDetailView = lazyRouteComponent(
  () => import("~/features/customers/detail"),
  "CustomerDetailView",
)
const Wizard = lazyRouteComponent(() => import("~/features/instances/wizard"), "Wizard")

type Open = { open?: string; view?: string }

function readFilter(search: Record<string, unknown>): CustomerFilter {
  return { ...texts(search, ["q"]), ...(search["private"] === true ? { private: true } : {}) }
}

export const customersRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/customers",
  validateSearch: (search: Record<string, unknown>): CustomerFilter & Open => ({
    ...readFilter(search),
    ...texts(search, ["open", "view"]),
  }),
  component: function Customers() {
    const search = customersRoute.useSearch()
    const navigate = customersRoute.useNavigate()
    return (
      <CustomersPage
        filter={readFilter(search)}
        open={search.open}
        view={search.view}
        onFilter={(next) => void navigate({ search: given(next), replace: true })}
        onOpen={(open, view) =>
          void navigate({
            search: (now) => given({ ...readFilter(now), open, view }) as CustomerFilter & Open,
            replace: true,
          })
        }
      />
    )
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
      <div className="h-full overflow-auto">
        <div className="mx-auto max-w-5xl">
          <CustomerDetailView
            key={customer}
            id={customer}
            view={view}
            onView={(next) => void navigate({ search: { view: next }, replace: true })}
            onGone={() => void navigate({ to: "/customers", search: {} })}
          />
        </div>
      </div>
    )
  },
})

export const activateRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/customers/$customer/activate",
  validateSearch: (search: Record<string, unknown>): WizardPlace => ({
    ...texts(search, ["integration", "version", "instance"]),
    ...given({ page: word(search["page"]) }),
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
