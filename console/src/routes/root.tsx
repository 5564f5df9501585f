import { t } from "@lingui/core/macro"
import type { QueryClient } from "@tanstack/react-query"
import { createRootRouteWithContext, Outlet } from "@tanstack/react-router"
import { Notice } from "~/ui/notice"

export type RouterContext = { client: QueryClient }

export const rootRoute = createRootRouteWithContext<RouterContext>()({
  component: Outlet,
  notFoundComponent: () => <Notice title={t`There is no such page`} />,
})

export const text = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined
