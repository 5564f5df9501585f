import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { Link } from "@tanstack/react-router"
import { ShieldX } from "lucide-react"
import { useMemo } from "react"
import { loadRejections, type Rejection, type RejectionFilter } from "~/api/activity"
import { useRows } from "~/api/list"
import { Id } from "~/ui/copy"
import { FactList, Section } from "~/ui/facts"
import { CataloguePage, type ListPlace } from "~/ui/list-page"
import { Notice } from "~/ui/notice"
import type { Column } from "~/ui/table"
import { Time } from "~/ui/time"
import { LoadAnew, timeColumn } from "./parts"
import { ActivityTabs } from "./tabs"

const idOf = (row: Rejection) => row.id

/** Requests that were refused before they became an execution: unsigned ones, say. */
export function RejectionsPage(place: ListPlace<RejectionFilter>) {
  const { filter } = place
  const list = useRows(["rejections", filter], (before, signal) =>
    loadRejections(filter, before, signal),
  )
  const columns = useMemo(() => rejectionColumns(), [])
  return (
    <CataloguePage
      title={t`Rejected requests`}
      tabs={<ActivityTabs />}
      thing={t`Rejected request`}
      icon={<ShieldX />}
      place={place}
      list={list}
      columns={columns}
      idOf={idOf}
      texts={[
        ["q", t`Why`],
        ["customer", t`Customer`],
        ["integration", t`Integration`],
        ["status", t`Status, e.g. 401`],
      ]}
      actions={<LoadAnew onLoad={list.refetch} />}
      none={{
        matching: t`No rejected request matches`,
        title: t`No request was rejected`,
        text: (
          <Trans>
            A request to a flow that is not signed as it has to be, is too large, or comes too fast,
            is refused and noted here: the last 100 of each URL.
          </Trans>
        ),
      }}
      sheet={(open) => <Refused key={open} row={list.rows?.find((each) => each.id === open)} />}
    />
  )
}

function Refused({ row }: { row: Rejection | undefined }) {
  if (row === undefined) return <Notice title={t`This request is not in the list any more`} />
  return (
    <article className="flex flex-col gap-4 p-4">
      <h2 className="text-base font-semibold break-words">
        {row.status} {row.reason}
      </h2>
      <FactList
        facts={[
          [t`Time`, <Time key="time" at={row.at} zoned />],
          [t`Customer`, row.customer_name ?? row.customer ?? t`all: the endpoint is shared`],
          [
            t`Instance`,
            row.instance === null ? (
              t`none`
            ) : (
              <Link
                key="instance"
                to="/instances/$instance"
                params={{ instance: row.instance }}
                search={{ view: "endpoints" }}
                className="link"
              >
                {row.instance_name ?? row.instance}
              </Link>
            ),
          ],
          [t`Flow`, [row.integration, row.flow].filter((each) => each !== null).join(" · ")],
          [t`Endpoint`, <Id key="endpoint" id={row.endpoint} />],
        ]}
      />
      <Section title={t`Headers`}>
        {row.payload_hidden ? (
          <p className="text-muted-foreground">{t`Your role does not show its headers.`}</p>
        ) : (
          <dl className="grid grid-cols-[max-content_minmax(0,1fr)] gap-x-4 font-mono text-xs">
            {row.headers.map((pair, at) => (
              <div key={at} className="contents">
                <dt className="text-muted-foreground">{pair[0]}</dt>
                <dd className="break-all">{pair[1]}</dd>
              </div>
            ))}
          </dl>
        )}
      </Section>
    </article>
  )
}

function rejectionColumns(): Column<Rejection>[] {
  return [
    {
      key: "status",
      title: t`Status`,
      width: "56px",
      className: "figures font-medium text-waiting",
      cell: (row) => row.status,
    },
    {
      key: "reason",
      title: t`Why`,
      width: "minmax(140px, 2fr)",
      cell: (row) => <span title={row.reason}>{row.reason}</span>,
    },
    {
      key: "flow",
      title: t`Flow`,
      width: "minmax(90px, 0.8fr)",
      wide: true,
      className: "text-muted-foreground",
      cell: (row) => <span title={row.integration ?? undefined}>{row.flow}</span>,
    },
    {
      key: "customer",
      title: t`Customer`,
      width: "minmax(90px, 0.8fr)",
      cell: (row) => row.customer_name ?? row.customer ?? t`all`,
    },
    timeColumn(),
  ]
}
