import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useQuery } from "@tanstack/react-query"
import { useState } from "react"
import { answerOf, api, setBearer } from "~/api/client"
import { Live } from "~/api/live"
import { SessionProvider } from "~/features/session/context"
import { Notice, Pending } from "~/ui/notice"
import { Receivers } from "./list"

/** The webhooks of one customer, for its own people: a token acts for them, and sees nothing else. */
export function PortalPage({ token }: { token: string | null }) {
  setBearer(token)
  const [live] = useState(() => new Live())
  const query = useQuery({
    queryKey: ["portal", "me", token],
    retry: false,
    enabled: token !== null,
    queryFn: ({ signal }) => answerOf(api.GET("/api/me", { signal })),
  })
  const me = query.data
  if (token === null || query.isError || (me !== undefined && me.customer === null)) {
    return (
      <Notice title={t`This link is not good any more`}>
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
