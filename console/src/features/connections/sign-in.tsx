import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useMutation, useQueryClient } from "@tanstack/react-query"
import { ExternalLink, LogIn } from "lucide-react"
import { useEffect, useState } from "react"
import { answerOf, api } from "~/api/client"
import { Button, buttonClass } from "~/ui/button"
import { CopyButton } from "~/ui/copy"
import { FormError } from "~/ui/notice"
import { toast } from "~/ui/toast"
import { listenForSignIn, redirectUri } from "./channel"

/** Send somebody to an app's sign-in in a window of its own, and wait until they are back. */
export function SignIn({
  connection,
  again = false,
  onDone,
}: {
  connection: { id: string; name: string }
  again?: boolean
  onDone?: () => void
}) {
  const client = useQueryClient()
  const [said, setSaid] = useState<string | null>(null)
  const begin = useMutation({
    mutationFn: async (popup: Window | null) => {
      setSaid(null)
      try {
        const begun = await answerOf(
          api.POST("/api/connections/{connection}/authorize", {
            params: { path: { connection: connection.id } },
            body: { redirect_uri: redirectUri() },
          }),
        )
        if (popup !== null) popup.location.href = begun.url
        return { ...begun, opened: popup !== null }
      } catch (error) {
        popup?.close()
        throw error
      }
    },
  })
  const { data: begun, reset } = begin
  useEffect(() => {
    if (begun === undefined) return
    return listenForSignIn(begun.state, ({ ok, message }) => {
      void client.invalidateQueries({ queryKey: ["connections"] })
      reset()
      if (ok) {
        toast(t`${connection.name} is connected`)
        onDone?.()
      } else setSaid(message)
    })
  }, [begun, client, connection.name, onDone, reset])
  // The window is opened by the click itself: later the browser would block it.
  const open = () =>
    begin.mutate(window.open("about:blank", "_blank", "popup,width=560,height=760"))
  return (
    <div className="flex flex-col gap-2">
      <div className="flex flex-wrap items-center gap-2">
        <Button look="primary" icon={<LogIn aria-hidden />} busy={begin.isPending} onClick={open}>
          {begun !== undefined ? t`Open the window again` : again ? t`Reconnect` : t`Connect`}
        </Button>
        {begun !== undefined && (
          <span role="status" className="text-muted-foreground">
            {t`Waiting for you to sign in at the app…`}
          </span>
        )}
        {begun !== undefined && !begun.opened && (
          <a href={begun.url} target="_blank" rel="noopener noreferrer" className={buttonClass()}>
            <ExternalLink aria-hidden />
            {t`Your browser blocked the window: open the sign-in`}
          </a>
        )}
      </div>
      <p className="flex flex-wrap items-center gap-1 text-xs text-muted-foreground">
        <Trans>
          The app has to know this address to come back to: <code>{redirectUri()}</code>
        </Trans>
        <CopyButton text={redirectUri()} name={t`Copy the address`} />
      </p>
      {said !== null && (
        <p role="alert" className="break-words text-failed-text">
          {said}
        </p>
      )}
      <FormError error={begin.error} />
    </div>
  )
}
