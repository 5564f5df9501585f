import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useQuery } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { useState } from "react"
import type { Schemas } from "~/api/client"
import { deliveriesQuery, type Receiver, triesQuery } from "~/api/receivers"
import { useSession } from "~/features/session/context"
import { Button } from "~/ui/button"
import { Dialog } from "~/ui/dialog"
import { Pending } from "~/ui/notice"
import { StateBadge } from "~/ui/state"
import { Time } from "~/ui/time"

/** The latest deliveries of a receiver, each with its tries and what was answered. */
export function Deliveries({ receiver, onClose }: { receiver: Receiver; onClose: () => void }) {
  const { me } = useSession()
  const query = useQuery({
    ...deliveriesQuery(receiver.id),
    refetchOnMount: "always",
    refetchInterval: 3_000,
  })
  return (
    <Dialog
      wide
      title={t`Deliveries to ${receiver.name}`}
      onClose={onClose}
      footer={
        <>
          {me.kind !== "customer" && (
            <Link
              to="/executions"
              search={{ instance: receiver.id }}
              className="link mr-auto self-center"
            >
              {t`All of them`}
            </Link>
          )}
          <Button onClick={() => void query.refetch()}>{t`Look again`}</Button>
          <Button onClick={onClose}>{t`Close`}</Button>
        </>
      }
    >
      {query.data === undefined ? (
        <Pending of={query} lines={3} />
      ) : query.data.length === 0 ? (
        <p className="text-muted-foreground">{t`Nothing was sent to it yet.`}</p>
      ) : (
        <ul className="flex flex-col divide-y rounded-md border">
          {query.data.map((each) => (
            <Delivery key={each.id} delivery={each} />
          ))}
        </ul>
      )}
    </Dialog>
  )
}

function Delivery({ delivery }: { delivery: Schemas["ExecutionSummary"] }) {
  const [open, setOpen] = useState(false)
  return (
    <li className="flex flex-col gap-1 px-3 py-2">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <StateBadge state={delivery.state} />
        <span className="min-w-0 flex-1 truncate">{delivery.key ?? delivery.id}</span>
        <span className="text-muted-foreground">
          <Time at={delivery.accepted_at} />
        </span>
        <Button aria-expanded={open} onClick={() => setOpen(!open)}>
          {t`Tries`}
        </Button>
      </div>
      {delivery.reason !== "" && (
        <p className="break-words text-muted-foreground">{delivery.reason}</p>
      )}
      {delivery.state === "waiting" && delivery.due_at !== null && (
        <p className="text-muted-foreground">
          <Trans>
            It is tried again <Time at={delivery.due_at} />.
          </Trans>
        </p>
      )}
      {open && <Tries execution={delivery.id} />}
    </li>
  )
}

function Tries({ execution }: { execution: string }) {
  const query = useQuery({ ...triesQuery(execution), refetchOnMount: "always" })
  if (query.data === undefined) return <Pending of={query} lines={1} />
  if (query.data.length === 0) {
    return <p className="text-muted-foreground">{t`It was not tried yet.`}</p>
  }
  return (
    <ol className="flex flex-col gap-1 border-l pl-3">
      {query.data.map((each) => (
        <li key={each.path} className="min-w-0">
          <span className="font-medium">{each.title}</span>{" "}
          <span className="text-muted-foreground">
            <Time at={each.ended_at} />
          </span>{" "}
          {each.failure === null ? (
            <span>{answered(each.result)}</span>
          ) : (
            <span className="text-failed-text break-words">{each.failure.message}</span>
          )}
        </li>
      ))}
    </ol>
  )
}

/** What a receiver answered that took an event. */
function answered(result: unknown): string {
  const status = (result as { status?: number } | null)?.status
  return status === undefined ? t`taken` : t`taken (${status})`
}
