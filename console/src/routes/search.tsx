import { createRoute, lazyRouteComponent } from "@tanstack/react-router"
import { type Filter, readFilter } from "~/features/executions/filter"
import type { Selection } from "~/features/search/page"
import { readPlace } from "./executions"
import { text } from "./root"
import { shellRoute } from "./shell"

export const searchRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/search",
  validateSearch: (search: Record<string, unknown>): { q?: string } & Filter & Selection => {
    const open = text(search["open"])
    const q = search["q"]
    return {
      ...(q === undefined || q === "" ? {} : { q: typeof q === "string" ? q : JSON.stringify(q) }),
      ...readFilter(search),
      ...(open === undefined ? {} : { open, ...readPlace(search) }),
    }
  },
  component: lazyRouteComponent(() => import("./search.lazy"), "SearchRoute"),
})
