import { t } from "@lingui/core/macro"
import type { UseQueryResult } from "@tanstack/react-query"
import { Download } from "lucide-react"
import { useState } from "react"
import { eachLogPage, type LogLine } from "~/api/execution"
import { preview } from "~/api/exact"
import { cx } from "~/ui/class"
import { Menu } from "~/ui/menu"
import { ErrorNotice, Loading, Notice } from "~/ui/notice"
import { Time } from "~/ui/time"
import { type LogFormat, saveLogs } from "./log-file"

const COLOURS: Record<string, string> = {
  error: "text-failed-text",
  warning: "text-waiting",
  debug: "text-muted-foreground",
}

/** The lines that the author's code logged. */
export function Logs({
  execution,
  query,
}: {
  execution: string
  query: UseQueryResult<LogLine[]>
}) {
  if (query.isError) return <ErrorNotice error={query.error} retry={() => void query.refetch()} />
  if (query.data === undefined) return <Loading />
  if (query.data.length === 0) return <Notice title={t`Nothing was logged`} />
  return (
    <div className="flex flex-col items-start gap-3">
      <DownloadLogs name={execution} pages={() => eachLogPage(execution)} />
      <ol className="flex w-full flex-col gap-1">
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
    </div>
  )
}

/** Save log lines as a file: with all that the page shows of them, and no more. */
export function DownloadLogs({
  name,
  pages,
}: {
  name: string
  pages: () => AsyncIterable<readonly LogLine[]>
}) {
  const [busy, setBusy] = useState(false)
  const save = (format: LogFormat) => {
    setBusy(true)
    void saveLogs(name, format, pages()).finally(() => setBusy(false))
  }
  return (
    <Menu
      name={t`Download the log`}
      items={[
        { label: t`As text`, onSelect: () => save("text"), disabled: busy },
        { label: t`As lines of JSON`, onSelect: () => save("jsonl"), disabled: busy },
      ]}
    >
      <Download aria-hidden />
      {busy ? t`Downloading…` : t`Download`}
    </Menu>
  )
}
