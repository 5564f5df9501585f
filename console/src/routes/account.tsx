import { createRoute } from "@tanstack/react-router"
import { AccountPage } from "~/features/session/account"
import { shellRoute } from "./shell"

export const accountRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/account",
  component: AccountPage,
})
