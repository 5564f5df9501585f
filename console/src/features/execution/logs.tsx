import { t } from "@lingui/core/macro"
import type { UseQueryResult } from "@tanstack/react-query"
import type { LogLine } from "~/api/execution"
import { preview } from "~/api/exact"
import { cx } from "~/ui/class"
import { ErrorNotice, Loading, Notice } from "~/ui/notice"
import { Time } from "~/ui/time"

const COLOURS: Record<string, string> = {
  error: "text-failed-text",
  warning: "text-waiting",
  debug: "text-muted-foreground",
}

/** The lines that the author's code logged. */
export function Logs({ query }: { query: UseQueryResult<LogLine[]> }) {
  if (query.isError) return <ErrorNotice error={query.error} retry={() => void query.refetch()} />
  if (query.data === undefined) return <Loading />
  if (query.data.length === 0) return <Notice title={t`Nothing was logged`} />
  return (
    <ol className="flex flex-col gap-1">
      {query.data.map((each) => (
        <li key={each.id} className="flex min-w-0 flex-wrap gap-x-3">
          <span className="text-muted-foreground">
            <Time at={each.at} />
          </span>
          <span className={cx("w-14", COLOURS[each.level])}>{each.level}</span>
          <span className="min-w-0 break-words">{each.message}</span>
          {each.fields !== "{}" && (
            <code className="min-w-0 break-all text-muted-foreground">
              {preview(each.fields, 2_000)}
            </code>
          )}
        </li>
      ))}
    </ol>
  )
}
