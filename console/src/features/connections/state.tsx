import { t } from "@lingui/core/macro"
import { Check, CloudOff, KeyRound, LogIn, Minus } from "lucide-react"
import type { Connection } from "~/api/connections"
import { Badge } from "~/ui/badge"
import { fullTime } from "~/ui/time"

/** How a connection is: what keeps it from working first. */
export function ConnectionBadge({ connection }: { connection: Connection }) {
  if (connection.needs_sign_in) {
    return (
      <Badge tone="warn" icon={LogIn}>
        {t`not signed in`}
      </Badge>
    )
  }
  if (connection.status === "unauthorized") {
    return (
      <Badge tone="bad" icon={KeyRound} title={t`The app refused its credentials.`}>
        {t`unauthorized`}
      </Badge>
    )
  }
  if (connection.away) {
    const since = connection.away_since
    return (
      <Badge tone="warn" icon={CloudOff} title={since === null ? undefined : fullTime(since)}>
        {t`app away`}
      </Badge>
    )
  }
  if (connection.status === "working") {
    return (
      <Badge tone="good" icon={Check}>
        {t`working`}
      </Badge>
    )
  }
  return (
    <Badge tone="quiet" icon={Minus} title={t`Nobody has tested it yet.`}>
      {t`untested`}
    </Badge>
  )
}

/** True where people sign in at the app in a browser. */
export function signsIn({ fields }: Connection): boolean {
  const { auth } = fields as { auth?: { kind?: unknown } }
  return auth?.kind === "oauth2_code"
}
