import { t } from "@lingui/core/macro"
import { useQuery } from "@tanstack/react-query"
import { CircleCheck, CircleX } from "lucide-react"
import { useEffect, useState } from "react"
import { answerOf, api } from "~/api/client"
import { Button } from "~/ui/button"
import { Loading, Notice } from "~/ui/notice"
import { type SignInAnswer, tellOfSignIn } from "./channel"

export type Brought = { state?: string; code?: string; error?: string; error_description?: string }

const CLOSE_MS = 1_200

async function end({ state = "", code, error, error_description }: Brought): Promise<SignInAnswer> {
  if (error !== undefined || code === undefined) {
    const why = error_description ?? error ?? t`it brought no code`
    return { state, ok: false, message: t`The app did not let you in: ${why}` }
  }
  try {
    await answerOf(api.POST("/api/connections/authorized", { body: { state, code } }))
    return { state, ok: true, message: "" }
  } catch (refused) {
    return {
      state,
      ok: false,
      message: refused instanceof Error ? refused.message : String(refused),
    }
  }
}

/** Where an app sends the browser back to: ends the sign-in, and tells the page that began it. */
export function ConnectedPage({ brought: now, signedIn }: { brought: Brought; signedIn: boolean }) {
  const [brought] = useState(now) // the address forgets it
  const query = useQuery({
    queryKey: ["sign-in", brought.state],
    enabled: signedIn,
    staleTime: Infinity,
    retry: false,
    queryFn: () => end(brought),
  })
  const answer = query.data
  useEffect(() => {
    if (answer === undefined) return
    tellOfSignIn(answer)
    window.history.replaceState(null, "", "/console/connected") // the code is used up
    if (!answer.ok) return
    const timer = setTimeout(() => window.close(), CLOSE_MS)
    return () => clearTimeout(timer)
  }, [answer])
  const close = <Button onClick={() => window.close()}>{t`Close this window`}</Button>
  if (!signedIn) {
    return (
      <Notice icon={<CircleX />} title={t`You are not signed in to the console`}>
        {t`Sign in there, and connect again.`}
      </Notice>
    )
  }
  if (answer === undefined) return <Loading lines={3} />
  return answer.ok ? (
    <Notice icon={<CircleCheck />} title={t`You are connected`} action={close}>
      {t`Go on in the window that you came from.`}
    </Notice>
  ) : (
    <Notice icon={<CircleX />} title={t`You are not connected`} action={close}>
      <p role="alert" className="break-words">
        {answer.message}
      </p>
    </Notice>
  )
}
