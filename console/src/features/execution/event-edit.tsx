import { t } from "@lingui/core/macro"
import { useQuery } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { pretty } from "~/api/exact"
import { type Execution, executionQuery, valueQuery } from "~/api/execution"
import { Unified } from "~/features/integrations/compare"
import { hunksBetween } from "~/features/integrations/diff"
import { ErrorNotice, Loading } from "~/ui/notice"
import { editedBy, originalOf } from "./edited"

const LARGEST = 256 * 1024

/** What was edited of an event: who did, and how it differs from the one that came. */
export function EventEdit({ execution }: { execution: Execution }) {
  const original = originalOf(execution.lineage, execution.id)
  return (
    <section
      aria-label={t`Edit of the event`}
      className="flex flex-col gap-2 rounded-md border border-waiting/40 p-3"
    >
      <p className="text-waiting first-letter:uppercase">{editedBy(execution)}</p>
      {original !== null && (
        <p>
          <Link
            to="/executions/$execution"
            params={{ execution: original }}
            search={{ view: "steps", step: "trigger" }}
            className="link"
          >
            {t`Open the event as it came`}
          </Link>
        </p>
      )}
      {original !== null && !execution.payload_hidden && (
        <Difference execution={execution} original={original} />
      )}
    </section>
  )
}

function Difference({ execution, original }: { execution: Execution; original: string }) {
  const before = useQuery(executionQuery(original))
  const sizes = [before.data?.event?.size, execution.event?.size]
  const small = sizes.every((each) => each !== undefined && each <= LARGEST)
  const [old, now] = [
    useQuery({ ...valueQuery(original, "body"), enabled: small }),
    useQuery({ ...valueQuery(execution.id, "body"), enabled: small }),
  ]
  const failed = [before, old, now].find((each) => each.isError)
  if (failed !== undefined) {
    return <ErrorNotice error={failed.error} retry={() => void failed.refetch()} />
  }
  if (before.data === undefined) return <Loading lines={2} />
  if (before.data.event === null) return <p>{t`The event as it came is not stored any more.`}</p>
  if (!small) return <p>{t`They are too large to be compared here.`}</p>
  if (old.data === undefined || now.data === undefined) return <Loading lines={2} />
  if (old.data === null || now.data === null) return <p>{t`Its body is binary.`}</p>
  const hunks = hunksBetween(
    textOf(before.data.event.headers, old.data),
    textOf(execution.event?.headers ?? [], now.data),
  )
  return (
    <div className="overflow-hidden rounded-md border" aria-label={t`Difference`} role="group">
      {hunks.length === 0 && <p className="px-2 py-1">{t`Nothing but their spacing differs.`}</p>}
      {hunks.map(({ lines }, at) => (
        <div key={at} className="border-t border-border first:border-t-0">
          <Unified lines={lines} />
        </div>
      ))}
    </div>
  )
}

/** Return an event as the lines that are compared: headers that an edit can change, then its body. */
function textOf(headers: readonly (readonly [string, string])[], body: string): string {
  const own = headers.filter(([name]) => name.toLowerCase() !== "content-length")
  return [...own.map(([name, value]) => `${name}: ${value}`), "", pretty(body)].join("\n")
}
