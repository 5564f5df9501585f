import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { keepPreviousData, useQuery } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { Activity } from "lucide-react"
import { type ReactNode, useState } from "react"
import { answerOf, api } from "~/api/client"
import type { ExecutionState } from "~/api/execution"
import type { Filter } from "~/features/executions/filter"
import { useRenewal } from "~/features/session/renewal"
import { cx } from "~/ui/class"
import { SearchBox, Toggles } from "~/ui/list-page"
import { Notice, Pending } from "~/ui/notice"
import { length, shortTime, Since, useNow } from "~/ui/time"
import { Attention } from "./attention"
import {
  ceiling,
  type Column,
  columnsOf,
  OUTCOMES,
  type Period,
  PERIODS,
  type Stats,
} from "./columns"

export type OverviewFilter = { customer?: string; integration?: string; period?: Period }

type By = "state" | "customer" | "integration"

const RENEW_MS = 5_000
const USUAL: Period = "24h"
const LIVE: ExecutionState[] = ["queued", "running", "waiting"]

function useStats(filter: OverviewFilter, by: By, state?: string) {
  const { period = USUAL, ...whose } = filter
  const { step, ms } = PERIODS[period]
  return useQuery({
    queryKey: ["stats", by, state, filter],
    placeholderData: keepPreviousData,
    queryFn: ({ signal }): Promise<Stats> => {
      const since = new Date(Date.now() - ms).toISOString()
      const query = { by, since, step, ...whose, ...(state === undefined ? {} : { state }) }
      return answerOf(api.GET("/api/stats", { params: { query }, signal }))
    },
  })
}

/** What came, how it ended, how long it took and what waits; each number leads to what it counts. */
export function OverviewPage({
  filter,
  onFilter,
}: {
  filter: OverviewFilter
  onFilter: (filter: OverviewFilter) => void
}) {
  const stats = useStats(filter, "state")
  useRenewal(["stats"], RENEW_MS, (news) => news.kind === "changes")
  return (
    <div className="h-full overflow-auto">
      <div className="flex flex-col gap-5 px-4 pt-3 pb-8">
        <div className="flex flex-wrap items-center gap-2">
          <h1 className="mr-2 text-lg font-semibold">{t`Overview`}</h1>
          <SearchBox
            label={t`Customer`}
            className="sm:w-40"
            value={filter.customer}
            onChange={(customer) => onFilter({ ...filter, customer })}
          />
          <SearchBox
            label={t`Integration`}
            icon={false}
            className="sm:w-40"
            value={filter.integration}
            onChange={(integration) => onFilter({ ...filter, integration })}
          />
          <Toggles<Period>
            label={t`Period`}
            options={[
              ["1h", t`an hour`],
              ["24h", t`a day`],
              ["7d", t`7 days`],
              ["30d", t`30 days`],
            ]}
            value={filter.period ?? USUAL}
            onChange={(period) => onFilter({ ...filter, period })}
          />
        </div>
        <Attention />
        {stats.data === undefined ? (
          <Pending of={stats} />
        ) : (
          <Whole stats={stats.data} filter={filter} />
        )}
      </div>
    </div>
  )
}

function Whole({ stats, filter }: { stats: Stats; filter: OverviewFilter }) {
  const now = useNow()
  const { customer, integration } = filter
  const whose: Filter = {
    ...(customer === undefined ? {} : { customer }),
    ...(integration === undefined ? {} : { integration }),
  }
  const since = { ...whose, since: stats.since }
  const of = (key: string) => stats.series.find((each) => each.key === key)
  const came = of("accepted")?.count ?? 0
  const good = of("succeeded")
  const failed = of("failed")?.count ?? 0
  const others = (of("cancelled")?.count ?? 0) + (of("ignored")?.count ?? 0)
  const columns = columnsOf(stats, now)
  const oldest = stats.oldest_waiting_at
  return (
    <>
      <dl className="grid grid-cols-2 gap-2 sm:grid-cols-3 xl:grid-cols-6">
        <Figure name={t`Events in`} to={since} value={came.toLocaleString()} />
        <Figure
          name={t`Succeeded`}
          to={{ ...since, state: ["succeeded"] }}
          value={(good?.count ?? 0).toLocaleString()}
        />
        <Figure
          name={t`Failed`}
          to={{ ...since, state: ["failed"] }}
          value={failed.toLocaleString()}
          look={failed > 0 ? "text-failed-text" : undefined}
        />
        <Figure
          name={t`Cancelled or ignored`}
          to={{ ...since, state: ["cancelled", "ignored"] }}
          value={others.toLocaleString()}
        />
        <Figure
          name={t`Not ended yet`}
          to={{ ...whose, state: LIVE }}
          value={stats.backlog.toLocaleString()}
          note={
            oldest === null ? undefined : (
              <Trans>
                the oldest for <Since at={oldest} />
              </Trans>
            )
          }
        />
        <Figure
          name={t`Run time (p50)`}
          to={{ ...since, state: ["succeeded"] }}
          value={good?.p50_ms == null ? "–" : length(good.p50_ms)}
          note={good?.p95_ms == null ? undefined : t`p95 ${length(good.p95_ms)}`}
        />
      </dl>
      {came === 0 && stats.series.length === 0 ? (
        <Notice icon={<Activity />} title={t`Nothing came in this time`}>
          <Trans>Events of all flows are counted here, and how their executions ended.</Trans>
        </Notice>
      ) : (
        <div className="grid gap-4 xl:grid-cols-2">
          <Outcomes columns={columns} whose={whose} />
          <Times columns={columns} whose={whose} />
        </div>
      )}
      <div className="grid gap-4 xl:grid-cols-2">
        <Shares filter={filter} by="customer" title={t`By customer`} whose={whose} />
        <Shares filter={filter} by="integration" title={t`By integration`} whose={whose} />
      </div>
    </>
  )
}

function Figure({
  name,
  value,
  note,
  to,
  look,
}: {
  name: string
  value: string
  note?: ReactNode
  to: Filter
  look?: string | undefined
}) {
  return (
    <div className="relative flex flex-col rounded-md border px-3 py-2 hover:bg-muted">
      <dt className="text-xs text-muted-foreground">{name}</dt>
      <dd className={cx("figures text-xl font-semibold", look)}>
        <Link to="/executions" search={to} className="after:absolute after:inset-0">
          {value}
        </Link>
      </dd>
      {note !== undefined && <dd className="text-xs text-muted-foreground">{note}</dd>}
    </div>
  )
}

const FILLS: Record<string, string> = {
  succeeded: "bg-succeeded/70",
  failed: "bg-failed",
  cancelled: "bg-cancelled/60",
  ignored: "bg-ignored/30",
}

/** How executions ended, over time; a column leads to those of its time. */
function Outcomes({ columns, whose }: { columns: Column[]; whose: Filter }) {
  const words: Record<string, string> = {
    succeeded: t`succeeded`,
    failed: t`failed`,
    cancelled: t`cancelled`,
    ignored: t`ignored`,
  }
  const sums = columns.map(({ ended }) => Object.values(ended).reduce((sum, each) => sum + each, 0))
  return (
    <Chart
      title={t`Outcomes`}
      legend={OUTCOMES.map((each) => [FILLS[each] ?? "", words[each] ?? each])}
      columns={columns}
      most={ceiling(Math.max(...sums))}
      axis={(value) => value.toLocaleString()}
      whose={whose}
      parts={({ ended }) =>
        OUTCOMES.map((each): Part => [FILLS[each] ?? "", ended[each] ?? 0]).reverse()
      }
      said={({ came, ended }) => {
        const some = OUTCOMES.filter((each) => ended[each] !== undefined)
        const listed = some.map((each) => `${ended[each] ?? 0} ${words[each] ?? each}`)
        return [t`${came} came`, ...listed].join(", ")
      }}
    />
  )
}

/** How long those that succeeded ran, over time. */
function Times({ columns, whose }: { columns: Column[]; whose: Filter }) {
  const most = ceiling(Math.max(...columns.map((each) => each.p95 ?? 0)))
  return (
    <Chart
      title={t`Run time`}
      legend={[
        ["bg-running", t`p50`],
        ["bg-running/30", t`p95`],
      ]}
      columns={columns}
      most={most}
      axis={length}
      whose={{ ...whose, state: ["succeeded"] }}
      parts={({ p50, p95 }) => [
        ["bg-running/30", (p95 ?? 0) - (p50 ?? 0)],
        ["bg-running", p50 ?? 0],
      ]}
      said={({ p50, p95 }) =>
        p50 === null || p95 === null
          ? t`none succeeded`
          : t`half ran ${length(p50)} at most, 95 % ${length(p95)}`
      }
    />
  )
}

type Part = [fill: string, value: number]

function Chart({
  title,
  legend,
  columns,
  most,
  axis,
  whose,
  parts,
  said,
}: {
  title: string
  legend: [fill: string, word: string][]
  columns: Column[]
  most: number
  axis: (value: number) => string
  whose: Filter
  parts: (column: Column) => Part[]
  said: (column: Column) => string
}) {
  const [table, setTable] = useState(false)
  const [over, setOver] = useState<Column | null>(null)
  const first = columns[0]
  const at = (column: Column): Filter => ({ ...whose, since: column.from, until: column.until })
  return (
    <section aria-label={title} className="flex min-w-0 flex-col gap-2 rounded-md border p-3">
      <div className="flex flex-wrap items-center gap-x-4 gap-y-1">
        <h2 className="font-semibold">{title}</h2>
        <ul className="flex flex-wrap gap-x-3 text-xs text-muted-foreground">
          {legend.map(([fill, word]) => (
            <li key={word} className="inline-flex items-center gap-1.5">
              <span aria-hidden className={cx("size-2.5 rounded-[2px]", fill)} />
              {word}
            </li>
          ))}
        </ul>
        <button
          type="button"
          aria-pressed={table}
          onClick={() => setTable(!table)}
          className="ml-auto text-xs text-muted-foreground hover:underline"
        >
          {t`As a table`}
        </button>
      </div>
      {table ? (
        <ol className="max-h-56 overflow-auto" tabIndex={0} aria-label={title}>
          {columns.toReversed().map((each) => (
            <li key={each.from} className="flex gap-3 border-b border-border/60 py-1 last:border-0">
              <Link to="/executions" search={at(each)} className="link figures w-32 shrink-0">
                {shortTime(each.from)}
              </Link>
              <span>{said(each)}</span>
            </li>
          ))}
        </ol>
      ) : (
        <div className="flex gap-2">
          <div className="flex h-36 flex-col justify-between text-right text-xs text-muted-foreground">
            <span className="figures">{axis(most)}</span>
            <span className="figures">{axis(most / 2)}</span>
            <span className="figures">0</span>
          </div>
          <div className="flex min-w-0 flex-1 flex-col gap-1">
            <div
              aria-hidden // the table has all of it
              onMouseLeave={() => setOver(null)}
              className="relative flex h-36 items-end gap-px border-y border-border/60"
            >
              <span aria-hidden className="absolute inset-x-0 top-1/2 border-t border-border/60" />
              {columns.map((each) => (
                <Link
                  key={each.from}
                  to="/executions"
                  search={at(each)}
                  tabIndex={-1}
                  title={`${shortTime(each.from)}: ${said(each)}`}
                  onMouseEnter={() => setOver(each)}
                  className="relative flex h-full min-w-0 flex-1 flex-col justify-end hover:bg-secondary"
                >
                  {parts(each).map(([fill, value], index) => (
                    <span
                      key={index}
                      className={fill}
                      style={{
                        height: `${(value / most) * 100}%`,
                        minHeight: value > 0 ? 1 : 0,
                      }}
                    />
                  ))}
                </Link>
              ))}
            </div>
            <p className="flex min-h-4 justify-between gap-2 text-xs text-muted-foreground">
              {over !== null ? (
                <span className="figures truncate text-foreground">
                  {shortTime(over.from)}: {said(over)}
                </span>
              ) : (
                <>
                  <span className="figures">{first !== undefined && shortTime(first.from)}</span>
                  <span>{t`now`}</span>
                </>
              )}
            </p>
          </div>
        </div>
      )}
    </section>
  )
}

/** What ended of each customer, or integration, those with most first. */
function Shares({
  filter,
  by,
  title,
  whose,
}: {
  filter: OverviewFilter
  by: "customer" | "integration"
  title: string
  whose: Filter
}) {
  const ended = useStats(filter, by)
  const failed = useStats(filter, by, "failed")
  if (ended.data === undefined) return <Pending of={ended} lines={4} />
  const { since, series } = ended.data
  const failures = new Map(failed.data?.series.map((each) => [each.key, each.count]))
  const cell = "figures px-3 py-1 text-right whitespace-nowrap"
  return (
    <section aria-label={title} className="min-w-0 rounded-md border">
      <h2 className="px-3 pt-2 pb-1 font-semibold">{title}</h2>
      {series.length === 0 ? (
        <p className="px-3 pb-3 text-muted-foreground">{t`Nothing ended in this time.`}</p>
      ) : (
        <div className="overflow-x-auto">
          <table className="w-full border-collapse">
            <thead>
              <tr className="border-b text-xs text-muted-foreground">
                <th className="px-3 py-1 text-left font-normal">{t`Name`}</th>
                <th className={cx(cell, "font-normal")}>{t`Ended`}</th>
                <th className={cx(cell, "font-normal")}>{t`Failed`}</th>
                <th className={cx(cell, "font-normal")}>{t`p50`}</th>
                <th className={cx(cell, "font-normal")}>{t`p95`}</th>
              </tr>
            </thead>
            <tbody>
              {series.map((each) => {
                const which: Filter = { ...whose, [by]: each.key, since }
                const count = failures.get(each.key) ?? 0
                return (
                  <tr key={each.key} className="border-b border-border/60 last:border-0">
                    <td className="w-full max-w-0 truncate px-3 py-1" title={each.label}>
                      {by === "customer" ? (
                        <Link
                          to="/customers/$customer"
                          params={{ customer: each.key }}
                          className="hover:underline"
                        >
                          {each.label}
                        </Link>
                      ) : (
                        <Link
                          to="/integrations/$integration"
                          params={{ integration: each.key }}
                          className="hover:underline"
                        >
                          {each.label}
                        </Link>
                      )}
                    </td>
                    <td className={cell}>
                      <Link
                        to="/executions"
                        search={{ ...which, state: [...OUTCOMES] }}
                        className="hover:underline"
                      >
                        {each.count.toLocaleString()}
                      </Link>
                    </td>
                    <td className={cell}>
                      <Link
                        to="/executions"
                        search={{ ...which, state: ["failed"] }}
                        className={cx("hover:underline", count > 0 && "text-failed-text")}
                      >
                        {count.toLocaleString()}
                      </Link>
                    </td>
                    <td className={cell}>{each.p50_ms === null ? "" : length(each.p50_ms)}</td>
                    <td className={cell}>{each.p95_ms === null ? "" : length(each.p95_ms)}</td>
                  </tr>
                )
              })}
            </tbody>
          </table>
        </div>
      )}
    </section>
  )
}
