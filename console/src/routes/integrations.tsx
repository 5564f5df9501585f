import { createRoute } from "@tanstack/react-router"
import { lazy } from "react"
import type { Place } from "~/features/integrations/page"
import { text } from "./root"
import { shellRoute } from "./shell"

const IntegrationsPage = lazy(async () => ({
  default: (await import("~/features/integrations/list")).IntegrationsPage,
}))
const IntegrationPage = lazy(async () => ({
  default: (await import("~/features/integrations/page")).IntegrationPage,
}))

export const integrationsRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/integrations",
  validateSearch: (search: Record<string, unknown>): { q?: string } => {
    const q = text(search["q"])
    return q === undefined ? {} : { q }
  },
  component: function Integrations() {
    const { q = "" } = integrationsRoute.useSearch()
    const navigate = integrationsRoute.useNavigate()
    return (
      <IntegrationsPage
        q={q}
        onSearch={(next) =>
          void navigate({ search: next === "" ? {} : { q: next }, replace: true })
        }
        onOpen={(integration) =>
          void navigate({ to: "/integrations/$integration", params: { integration }, search: {} })
        }
      />
    )
  },
})

function number(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0 ? value : undefined
}

function readPlace(search: Record<string, unknown>): Place {
  const found = {
    view: text(search["view"]),
    version: number(search["version"]),
    from: number(search["from"]),
    to: number(search["to"]),
    layout: search["layout"] === "split" ? ("split" as const) : undefined,
    rollout: text(search["rollout"]),
    upgrade: number(search["upgrade"]),
  }
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined))
}

export const integrationRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/integrations/$integration",
  validateSearch: readPlace,
  component: function Integration() {
    const { integration } = integrationRoute.useParams()
    const place = integrationRoute.useSearch()
    const navigate = integrationRoute.useNavigate()
    return (
      <IntegrationPage
        key={integration}
        name={integration}
        place={place}
        onPlace={(next) => void navigate({ search: readPlace(next), replace: true })}
      />
    )
  },
})
