import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import type { Execution } from "~/api/execution"
import { Time } from "~/ui/time"
import { EventEdit } from "./event-edit"
import { HiddenPayload, Value } from "./value"

/** The raw event of an execution: its request, its headers, its body. */
export function EventPanel({ execution }: { execution: Execution }) {
  const { event } = execution
  if (event === null) {
    return <p className="p-4 text-muted-foreground">{t`Its event is not stored any more.`}</p>
  }
  const query = event.query === "" ? "" : `?${event.query}`
  return (
    <section aria-label={t`Event`} className="flex flex-col gap-3 p-4">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <h2 className="font-semibold">{t`Event`}</h2>
        {event.url === "" ? (
          !execution.payload_hidden && <span className="text-muted-foreground">{t`by itself`}</span>
        ) : (
          <code className="min-w-0 break-all">
            {event.method} {event.url}
            {event.path}
            {query}
          </code>
        )}
        <span className="text-muted-foreground">
          <Time at={event.received_at} />
        </span>
      </div>
      {execution.edited_by !== null && <EventEdit execution={execution} />}
      {event.headers.length > 0 && (
        <details>
          <summary className="cursor-pointer text-muted-foreground">
            <Trans>{event.headers.length} headers</Trans>
          </summary>
          <dl className="mt-2 grid grid-cols-[max-content_minmax(0,1fr)] gap-x-4 font-mono text-xs">
            {event.headers.map((pair, at) => (
              <div key={at} className="contents">
                <dt className="text-muted-foreground">{pair[0]}</dt>
                <dd className="break-all">{pair[1]}</dd>
              </div>
            ))}
          </dl>
        </details>
      )}
      {execution.payload_hidden ? (
        <HiddenPayload />
      ) : event.size === 0 ? (
        <p className="text-muted-foreground">{t`It has no body.`}</p>
      ) : (
        <Value
          execution={execution.id}
          part="body"
          excerpt={{ text: "", size: event.size, cut: true }}
          label={t`Body`}
        />
      )}
    </section>
  )
}
