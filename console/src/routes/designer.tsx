import { createRoute } from "@tanstack/react-router"
import { lazy } from "react"
import type { Place } from "~/features/designer/frame/page"
import { given, word } from "./list"
import { shellRoute } from "./shell"

const DesignerPage = lazy(async () => ({
  default: (await import("~/features/designer/frame/page")).DesignerPage,
}))
const DraftsPage = lazy(async () => ({
  default: (await import("~/features/designer/frame/drafts")).DraftsPage,
}))

export const draftsRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/drafts",
  component: DraftsPage,
})

function readPlace(search: Record<string, unknown>): Place {
  return given({
    flow: word(search["flow"]),
    step: word(search["step"]),
    panel: word(search["panel"]),
    drawer: word(search["drawer"]),
  })
}

export const draftRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/drafts/$draft",
  validateSearch: readPlace,
  component: function Draft() {
    const { draft } = draftRoute.useParams()
    const place = draftRoute.useSearch()
    const navigate = draftRoute.useNavigate()
    return (
      <DesignerPage
        key={draft}
        id={draft}
        place={place}
        onPlace={(next) => void navigate({ search: readPlace(next), replace: true })}
      />
    )
  },
})
