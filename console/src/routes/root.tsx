import type { QueryClient } from "@tanstack/react-query"
import { createRootRouteWithContext, Outlet } from "@tanstack/react-router"

export type RouterContext = { client: QueryClient }

export const rootRoute = createRootRouteWithContext<RouterContext>()({
  component: Outlet,
})

export const text = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined
