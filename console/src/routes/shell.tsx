import { t } from "@lingui/core/macro"
import { useQuery } from "@tanstack/react-query"
import { createRoute, Outlet, redirect, useRouter } from "@tanstack/react-router"
import { useEffect, useState } from "react"
import { onSignedOut } from "~/api/client"
import { Live } from "~/api/live"
import { type Me, meQuery, signOut } from "~/api/session"
import { forgetLists } from "~/features/executions/store"
import { forgetSearches } from "~/features/search/search"
import { SessionProvider } from "~/features/session/context"
import { forgetDrafts } from "~/features/session/draft"
import { Shell } from "~/features/shell/shell"
import { ErrorNotice, Notice } from "~/ui/notice"
import { rootRoute } from "./root"

export const shellRoute = createRoute({
  getParentRoute: () => rootRoute,
  id: "shell",
  beforeLoad: async ({ context, location }) => {
    const me = await context.client.query({ ...meQuery, staleTime: "static" })
    if (me === null) throw redirect({ to: "/sign-in", search: { to: location.href } })
  },
  errorComponent: ({ error, reset }) => <ErrorNotice error={error} retry={reset} />,
  component: function SignedIn() {
    const me = useQuery(meQuery).data
    return me == null ? null : <WithStream key={me.user?.id ?? me.kind} me={me} />
  },
})

/** Whatever no other page is at: within the navigation, so that a mistyped address is no dead end. */
export const missingRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "$",
  component: function Missing() {
    return (
      <Notice title={t`There is no such page`}>
        {t`The address may be mistyped, or of another version of Halflap. What you look for may be found by Ctrl+K.`}
      </Notice>
    )
  },
})

function WithStream({ me }: { me: Me }) {
  const { client } = shellRoute.useRouteContext()
  const router = useRouter()
  const [live] = useState(() => new Live())
  useEffect(() => live.start(), [live])
  useEffect(() => {
    // Each request that is on its way finds it out: the first one leaves, from where the reader is.
    let left = false
    const leave = () => {
      if (left) return
      left = true
      client.clear()
      forgetLists()
      forgetSearches()
      client.setQueryData(meQuery.queryKey, null)
      void router.navigate({
        to: "/sign-in",
        search: { to: router.state.location.href, ended: true },
      })
    }
    return onSignedOut(leave)
  }, [client, router])
  const leave = async () => {
    await signOut()
    forgetDrafts()
    client.clear()
    forgetLists()
    forgetSearches()
    window.location.assign("/console/sign-in")
  }
  return (
    <SessionProvider me={me} live={live}>
      <Shell onSignOut={() => void leave()}>
        <Outlet />
      </Shell>
    </SessionProvider>
  )
}
