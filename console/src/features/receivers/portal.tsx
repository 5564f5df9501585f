import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useQuery } from "@tanstack/react-query"
import { useEffect, useState } from "react"
import { answerOf, api, onSignedOut, setBearer } from "~/api/client"
import { Live } from "~/api/live"
import { isStatus } from "~/api/problem"
import { SessionProvider } from "~/features/session/context"
import { Notice, Pending } from "~/ui/notice"
import { Receivers } from "./list"

/** The webhooks of one customer, for its own people: a token acts for them, and sees nothing else. */
export function PortalPage({ token }: { token: string | null }) {
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
  const refused = isStatus(query.error, 401, 403) || (me !== undefined && me.customer === null)
  if (token === null || ended || refused) {
    return (
      <Notice title={me === undefined ? t`This link is not good any more` : t`This link has ended`}>
        {t`Open the page again from where you came.`}
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
