import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useQuery } from "@tanstack/react-query"
import { useEffect, useState } from "react"
import { answerOf, api, onSignedOut, setBearer } from "~/api/client"
import { Live } from "~/api/live"
import { isStatus } from "~/api/problem"
import { SessionProvider } from "~/features/session/context"
import { hasDrafts } from "~/features/session/draft"
import { Notice, Pending } from "~/ui/notice"
import { Receivers } from "./list"

/** The webhooks of one customer, for its own people: a token acts for them, and sees nothing else. */
export function PortalPage({
  token,
  onToken,
}: {
  token: string | null
  onToken: (token: string) => void
}) {
  setBearer(token)
  const [live] = useState(() => new Live())
  const [ended, setEnded] = useState(false)
  useEffect(() => onSignedOut(() => setEnded(true)), [])
  const query = useQuery({
    queryKey: ["portal", "me", token],
    retry: false,
    enabled: token !== null,
    queryFn: ({ signal }) => answerOf(api.GET("/api/me", { signal })),
  })
  const me = query.data
  useOtherTabs(me?.customer ?? null, token, ended ? onToken : null)
  const refused = isStatus(query.error, 401, 403) || (me !== undefined && me.customer === null)
  if (token === null || ended || refused) {
    return (
      <Notice title={me === undefined ? t`This link is not good any more` : t`This link has ended`}>
        {hasDrafts()
          ? t`Open the page again from where you came. What you typed is kept, but for secrets: once it is open, in this tab or another, go on here.`
          : t`Open the page again from where you came.`}
      </Notice>
    )
  }
  if (me === undefined) return <Pending of={query} />
  return (
    <SessionProvider me={me} live={live}>
      <main className="mx-auto flex h-full max-w-4xl flex-col gap-3 overflow-auto px-4 py-4">
        <h1 className="text-lg font-semibold">{t`Webhooks`}</h1>
        <Receivers customer={{ id: me.customer ?? "", name: "" }}>
          <Trans>
            Your own endpoints: they are sent events, signed, and tried again where they fail.
          </Trans>
        </Receivers>
      </main>
    </SessionProvider>
  )
}

/**
 * Tell other tabs of a token of a customer; one whose own has ended (`onToken`) goes on with that, since
 * a page of the team's product may open its link in a new tab.
 */
function useOtherTabs(
  customer: string | null,
  token: string | null,
  onToken: ((token: string) => void) | null,
) {
  useEffect(() => {
    if (customer === null || token === null) return
    const tabs = new BroadcastChannel(`halflap-portal:${customer}`)
    if (onToken === null) tabs.postMessage(token)
    else tabs.onmessage = ({ data }: MessageEvent<string>) => onToken(data)
    return () => tabs.close()
  }, [customer, token, onToken])
}
