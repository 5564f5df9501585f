import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { ShieldCheck } from "lucide-react"
import { useMemo } from "react"
import { type AuditEntry, type AuditFilter, loadAudit } from "~/api/activity"
import { useRows } from "~/api/list"
import { cx } from "~/ui/class"
import { Id } from "~/ui/copy"
import { FactList, Section } from "~/ui/facts"
import { Code } from "~/ui/json"
import { CataloguePage, type ListPlace } from "~/ui/list-page"
import { Notice } from "~/ui/notice"
import type { Column } from "~/ui/table"
import { Time } from "~/ui/time"
import { LoadAnew, timeColumn } from "./parts"
import { ActivityTabs } from "./tabs"

const idOf = (row: AuditEntry) => row.id
const REFUSED = 400

/** An operation as people read it: "replay_execution" is "replay execution". */
export const wordsOf = (operation: string): string => operation.replaceAll("_", " ")

/** Who changed what, and who looked at secrets and payloads. */
export function AuditPage(place: ListPlace<AuditFilter>) {
  const { filter } = place
  const list = useRows(["audit", filter], (before, signal) => loadAudit(filter, before, signal))
  const columns = useMemo(() => auditColumns(), [])
  return (
    <CataloguePage
      title={t`Audit`}
      tabs={<ActivityTabs />}
      thing={t`Entry`}
      icon={<ShieldCheck />}
      place={place}
      list={list}
      columns={columns}
      idOf={idOf}
      texts={[
        ["actor", t`Who: email or name`],
        ["operation", t`Operation`],
        ["on", t`Id of what`],
        ["customer", t`Customer`],
      ]}
      actions={<LoadAnew onLoad={list.refetch} />}
      none={{
        matching: t`No entry matches`,
        title: t`Nothing was changed yet`,
        text: (
          <Trans>
            Each change is here, and each look at secrets and payloads: by whom, and when.
          </Trans>
        ),
      }}
      sheet={(open) => <Entry key={open} row={list.rows?.find((each) => each.id === open)} />}
    />
  )
}

function Entry({ row }: { row: AuditEntry | undefined }) {
  if (row === undefined) return <Notice title={t`This entry is not in the list any more`} />
  return (
    <article className="flex flex-col gap-4 p-4">
      <h2 className="text-base font-semibold break-words">{wordsOf(row.operation)}</h2>
      <FactList
        facts={[
          [t`Time`, <Time key="time" at={row.at} zoned />],
          [t`Who`, row.label || row.actor || row.kind],
          [t`As`, row.kind],
          [t`From`, <code key="from">{row.address}</code>],
          [t`Answered`, row.status === 0 ? t`nobody` : row.status],
          ...Object.entries(row.objects).map(
            ([name, id]) => [name, <Id key={name} id={id} />] as const,
          ),
        ]}
      />
      {Object.keys(row.changes).length > 0 && (
        <Section title={t`What was sent`}>
          <Code text={JSON.stringify(row.changes)} label={t`What was sent`} />
        </Section>
      )}
    </article>
  )
}

function auditColumns(): Column<AuditEntry>[] {
  return [
    {
      key: "who",
      title: t`Who`,
      width: "minmax(110px, 1fr)",
      className: "font-medium",
      cell: (row) => <span title={row.actor}>{row.label || row.actor || row.kind}</span>,
    },
    {
      key: "what",
      title: t`What`,
      width: "minmax(120px, 1.2fr)",
      cell: (row) => <span title={row.operation}>{wordsOf(row.operation)}</span>,
    },
    {
      key: "on",
      title: t`On`,
      width: "minmax(110px, 1.4fr)",
      wide: true,
      className: "font-mono text-xs text-muted-foreground",
      cell: (row) => Object.values(row.objects).join(" "),
    },
    {
      key: "status",
      title: t`Answered`,
      width: "72px",
      wide: true,
      end: true,
      className: "figures",
      cell: (row) => (
        <span
          className={cx(
            row.status >= REFUSED || row.status === 0 ? "text-waiting" : "text-muted-foreground",
          )}
        >
          {row.status === 0 ? t`nobody` : row.status}
        </span>
      ),
    },
    timeColumn(),
  ]
}
