import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useMutation, useQuery } from "@tanstack/react-query"
import { FlaskConical } from "lucide-react"
import { answerOf, api, type Schemas } from "~/api/client"
import { type Connection, sandboxesQuery } from "~/api/connections"
import { useSession } from "~/features/session/context"
import { Button } from "~/ui/button"
import { FormError } from "~/ui/notice"
import type { Wanted } from "./form"

/** Offers the app's sandbox that runs beside the server, with an account there, in the place of the form. */
export function SandboxOffer({
  wanted,
  send,
  onMade,
}: {
  wanted: Wanted
  send: Omit<Schemas["ConnectionDraft"], "values">
  onMade: (made: Connection) => void
}) {
  const { can } = useSession()
  const found = useQuery({ ...sandboxesQuery, enabled: can("configure"), retry: false })
  const app = wanted.slot.component.split(":")[0]
  const sandbox = found.data?.find((each) => each.app === app && each.values !== null)
  const making = useMutation({
    mutationFn: () =>
      answerOf(api.POST("/api/connections", { body: { ...send, values: sandbox?.values ?? {} } })),
    onSuccess: onMade,
  })
  if (sandbox === undefined) return null
  return (
    <div className="flex flex-col items-start gap-2 rounded-md bg-muted p-2">
      <p>
        <Trans>
          A sandbox of {wanted.slot.title} runs at <code>{sandbox.url}</code>.
        </Trans>
      </p>
      <Button
        icon={<FlaskConical aria-hidden />}
        busy={making.isPending}
        onClick={() => making.mutate()}
      >
        {t`Use its account ${sandbox.account}`}
      </Button>
      <FormError error={making.error} />
    </div>
  )
}
