import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { Link } from "@tanstack/react-router"
import { CalendarClock } from "lucide-react"
import { useMemo } from "react"
import { loadSchedules, type Schedule, type ScheduleFilter } from "~/api/activity"
import { useRows } from "~/api/list"
import { moved, useRenewal } from "~/features/session/renewal"
import { buttonClass } from "~/ui/button"
import { FactList } from "~/ui/facts"
import { CataloguePage, type ListPlace } from "~/ui/list-page"
import { Notice } from "~/ui/notice"
import type { Column } from "~/ui/table"
import { Time, zone } from "~/ui/time"
import { ActivityTabs } from "./tabs"

const RENEW_MS = 5_000
const idOf = (row: Schedule) => row.id

/** The flows that a schedule starts: when each did, and when it does next. */
export function SchedulesPage(place: ListPlace<ScheduleFilter>) {
  const { filter } = place
  const list = useRows(["schedules", filter], (after, signal) =>
    loadSchedules(filter, after, signal),
  )
  useRenewal(["schedules"], RENEW_MS, (news) => news.kind === "changes" || moved(news, "instances"))
  const columns = useMemo(() => scheduleColumns(), [])
  return (
    <CataloguePage
      title={t`Schedules`}
      tabs={<ActivityTabs />}
      thing={t`Schedule`}
      icon={<CalendarClock />}
      place={place}
      list={list}
      columns={columns}
      idOf={idOf}
      texts={[
        ["customer", t`Customer`],
        ["integration", t`Integration`],
      ]}
      none={{
        matching: t`No schedule matches`,
        title: t`No schedules`,
        text: <Trans>A flow with a schedule is here once its instance is active.</Trans>,
      }}
      sheet={(open) => <Scheduled key={open} row={list.rows?.find((each) => each.id === open)} />}
    />
  )
}

function Scheduled({ row }: { row: Schedule | undefined }) {
  if (row === undefined) return <Notice title={t`This schedule is not in the list any more`} />
  return (
    <article className="flex flex-col gap-4 p-4">
      <h2 className="text-base font-semibold">{row.flow}</h2>
      <FactList
        facts={[
          [t`Customer`, row.customer_name ?? row.customer],
          [t`Integration`, row.integration],
          [
            t`Instance`,
            <Link
              key="instance"
              to="/instances/$instance"
              params={{ instance: row.instance }}
              className="link"
            >
              {row.instance_name}
            </Link>,
          ],
          [t`Dealt with until`, <Time key="last" at={row.last_at} zoned />],
          [
            t`Next`,
            row.next_at === null ? row.problem : <Time key="next" at={row.next_at} zoned />,
          ],
        ]}
      />
      <Link
        to="/executions"
        search={{ instance: row.instance, flow: row.flow }}
        className={`${buttonClass()} self-start`}
      >
        {t`Show its executions`}
      </Link>
    </article>
  )
}

function scheduleColumns(): Column<Schedule>[] {
  return [
    {
      key: "flow",
      title: t`Flow`,
      width: "minmax(110px, 1fr)",
      className: "font-medium",
      cell: (row) => row.flow,
    },
    {
      key: "instance",
      title: t`Instance`,
      width: "minmax(90px, 1fr)",
      wide: true,
      cell: (row) => <span title={row.integration}>{row.instance_name}</span>,
    },
    {
      key: "customer",
      title: t`Customer`,
      width: "minmax(90px, 1fr)",
      cell: (row) => row.customer_name ?? row.customer,
    },
    {
      key: "last",
      title: t`Dealt with until`,
      width: "128px",
      wide: true,
      end: true,
      className: "text-muted-foreground",
      cell: (row) => <Time at={row.last_at} />,
    },
    {
      key: "next",
      title: t`Next, ${zone()}`,
      width: "minmax(128px, 0.8fr)",
      end: true,
      cell: (row) =>
        row.next_at === null ? (
          <span className="text-waiting" title={row.problem}>
            {row.problem}
          </span>
        ) : (
          <Time at={row.next_at} />
        ),
    },
  ]
}
