import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { Link } from "@tanstack/react-router"
import { ScrollText } from "lucide-react"
import { useMemo } from "react"
import { DownloadLogs } from "~/features/execution/logs"
import {
  eachPageOfLogs,
  type Level,
  LEVELS,
  loadLogs,
  type LogFilter,
  type Logged,
} from "~/api/activity"
import { preview } from "~/api/exact"
import { useRows } from "~/api/list"
import { buttonClass } from "~/ui/button"
import { cx } from "~/ui/class"
import { FactList } from "~/ui/facts"
import { Code } from "~/ui/json"
import { CataloguePage, type ListPlace, Toggles } from "~/ui/list-page"
import { Notice } from "~/ui/notice"
import type { Column } from "~/ui/table"
import { Time } from "~/ui/time"
import { LoadAnew, periodFields, periodHints, timeColumn, withMoments } from "./parts"
import { ActivityTabs } from "./tabs"

const COLOURS: Record<string, string> = {
  error: "text-failed-text",
  warning: "text-waiting",
}
const idOf = (row: Logged) => `${row.execution}.${row.id}`

/** What authors' code logged, over all executions. It is loaded anew by hand: each look is audited. */
export function LogsPage(place: ListPlace<LogFilter>) {
  const { filter, onFilter } = place
  const list = useRows(["logs", filter], async (before, signal) =>
    loadLogs(withMoments(filter), before, signal),
  )
  const columns = useMemo(() => logColumns(), [])
  return (
    <CataloguePage
      title={t`Logs`}
      tabs={<ActivityTabs />}
      thing={t`Line`}
      icon={<ScrollText />}
      place={place}
      list={list}
      columns={columns}
      idOf={idOf}
      texts={[
        ["q", t`Text of a line`],
        ["customer", t`Customer`],
        ["integration", t`Integration`],
        ["flow", t`Flow`],
        ...periodFields(),
      ]}
      hints={periodHints()}
      filters={
        <Toggles<Level>
          label={t`Level`}
          options={LEVELS.map((each) => [each, each] as const)}
          value={filter.level}
          onChange={(level) => onFilter({ ...filter, level })}
        />
      }
      actions={
        <>
          <DownloadLogs name="logs" pages={() => eachPageOfLogs(withMoments(filter))} />
          <LoadAnew onLoad={list.refetch} />
        </>
      }
      none={{
        matching: t`No line matches`,
        title: t`Nothing was logged`,
        text: <Trans>What a flow logs is here, the newest execution first.</Trans>,
      }}
      sheet={(open) => <Line key={open} row={list.rows?.find((each) => idOf(each) === open)} />}
    />
  )
}

function Line({ row }: { row: Logged | undefined }) {
  if (row === undefined) return <Notice title={t`This line is not in the list any more`} />
  return (
    <article className="flex flex-col gap-4 p-4">
      <p className="text-base break-words whitespace-pre-wrap">{row.message}</p>
      <FactList
        facts={[
          [
            t`Level`,
            <span key="level" className={COLOURS[row.level]}>
              {row.level}
            </span>,
          ],
          [t`Time`, <Time key="time" at={row.at} zoned />],
          [t`Customer`, row.customer_name ?? row.customer],
          [t`Flow`, `${row.integration} · ${row.flow}`],
          ...(row.step === "" ? [] : [[t`Step`, <code key="step">{row.step}</code>] as const]),
        ]}
      />
      {row.payload_hidden ? (
        <p className="text-muted-foreground">{t`Your role does not show its fields.`}</p>
      ) : (
        row.fields !== "{}" && <Code text={row.fields} label={t`Fields`} />
      )}
      <Link
        to="/executions/$execution"
        params={{ execution: row.execution }}
        search={{ view: "logs" }}
        className={cx(buttonClass("primary"), "self-start")}
      >
        {t`Open its execution`}
      </Link>
    </article>
  )
}

function logColumns(): Column<Logged>[] {
  return [
    {
      key: "level",
      title: t`Level`,
      width: "72px",
      cell: (row) => <span className={COLOURS[row.level]}>{row.level}</span>,
    },
    {
      key: "message",
      title: t`Line`,
      width: "minmax(140px, 2.4fr)",
      cell: (row) => (
        <span title={row.message}>
          {row.message}
          {row.fields !== "{}" && (
            <code className="ml-2 text-muted-foreground">{preview(row.fields)}</code>
          )}
        </span>
      ),
    },
    {
      key: "flow",
      title: t`Flow`,
      width: "minmax(90px, 0.8fr)",
      wide: true,
      className: "text-muted-foreground",
      cell: (row) => <span title={`${row.integration} · ${row.flow}`}>{row.flow}</span>,
    },
    {
      key: "customer",
      title: t`Customer`,
      width: "minmax(90px, 0.8fr)",
      wide: true,
      className: "text-muted-foreground",
      cell: (row) => row.customer_name ?? row.customer,
    },
    timeColumn(),
  ]
}
