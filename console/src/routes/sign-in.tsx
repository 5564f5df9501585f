import { createRoute, redirect, useRouter } from "@tanstack/react-router"
import { useEffect, useState } from "react"
import { meQuery } from "~/api/session"
import { SignInPage, takeBrought } from "~/features/session/sign-in"
import { rootRoute, text } from "./root"

/** Return a path of the console to go to once signed in; never another site. */
export function pathOf(value: unknown): string | undefined {
  const path = text(value)
  return path?.startsWith("/") === true && !/^\/[/\\]/.test(path) ? path : undefined
}

type Search = { to?: string; ended?: boolean }

const RETURN_TO = "halflap-return-to"

// Taken before the router reads the address, and once.
let taken = takeBrought()
window.addEventListener("hashchange", () => {
  if (window.location.hash.startsWith("#link=")) window.location.reload()
})

export const signInRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/sign-in",
  validateSearch: (search: Record<string, unknown>): Search => ({
    to: pathOf(search["to"]),
    ended: search["ended"] === true || undefined,
  }),
  beforeLoad: async ({ context, search }) => {
    if (taken !== null) return
    const me = await context.client.query({ ...meQuery, staleTime: "static" })
    if (me !== null) throw redirect({ href: search.to ?? "/overview" })
    // A provider sends the browser back without it.
    if (search.to !== undefined) sessionStorage.setItem(RETURN_TO, search.to)
  },
  component: function SignIn() {
    const { ended = false } = signInRoute.useSearch()
    const { client } = signInRoute.useRouteContext()
    const router = useRouter()
    const [brought] = useState(() => taken)
    useEffect(() => {
      taken = null
    }, [])
    const enter = async () => {
      await client.resetQueries(meQuery)
      const me = await client.query({ ...meQuery, staleTime: "static" })
      const to = pathOf(sessionStorage.getItem(RETURN_TO))
      sessionStorage.removeItem(RETURN_TO)
      // Who was sent a link by mail has no password yet; the built-in owner has no mail, and needs none.
      const user = me?.user
      const invited = user?.has_password === false && user.email.includes("@")
      const byLink = brought !== null && "link" in brought
      router.history.replace(
        invited && byLink ? "/console/account" : `/console${to ?? "/overview"}`,
      )
    }
    return <SignInPage brought={brought} ended={ended} onDone={() => void enter()} />
  },
})
