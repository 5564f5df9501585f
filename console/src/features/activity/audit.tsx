import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useQuery } from "@tanstack/react-query"
import { ShieldCheck } from "lucide-react"
import { useMemo } from "react"
import { type AuditEntry, type AuditFilter, loadAudit, operationsQuery } from "~/api/activity"
import { useRows } from "~/api/list"
import { cx } from "~/ui/class"
import { Combobox, type Option } from "~/ui/combobox"
import { FactList, Section } from "~/ui/facts"
import { Code } from "~/ui/json"
import { CataloguePage, type ListPlace } from "~/ui/list-page"
import { Notice } from "~/ui/notice"
import type { Column } from "~/ui/table"
import { Time } from "~/ui/time"
import { aboutOf, NamedId, whoseOf, wordOf } from "./about"
import { LoadAnew, periodFields, periodHints, timeColumn, withMoments } from "./parts"
import { ActivityTabs } from "./tabs"

const idOf = (row: AuditEntry) => row.id
const REFUSED = 400

/** The title of an operation, "look at execution"; of one that is no operation any more, its name. */
type Titles = ReadonlyMap<string, string>

const titleOf = (titles: Titles, operation: string): string =>
  titles.get(operation) ?? operation.replaceAll("_", " ")

/** Who changed what, and who looked at secrets and payloads. */
export function AuditPage(place: ListPlace<AuditFilter>) {
  const { filter, onFilter } = place
  const list = useRows(["audit", filter], async (before, signal) =>
    loadAudit(withMoments(filter), before, signal),
  )
  const operations = useQuery(operationsQuery)
  const options = useMemo(
    () =>
      (operations.data ?? []).map(({ operation, title, text }): Option => ({
        value: operation,
        label: title,
        detail: text,
      })),
    [operations.data],
  )
  const titles = useMemo(
    () => new Map(options.map(({ value, label }) => [value, label])),
    [options],
  )
  const columns = useMemo(() => auditColumns(titles), [titles])
  const { operation } = filter
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
        ["customer", t`Customer`],
        ["on", t`Id of what`],
        ...periodFields(),
      ]}
      hints={periodHints()}
      filters={
        <div className="min-w-36 flex-1 sm:w-56 sm:flex-none">
          <Combobox
            name={t`What was done`}
            placeholder={t`What was done`}
            options={options}
            value={
              operation === undefined
                ? null
                : { value: operation, label: titleOf(titles, operation) }
            }
            onChange={(chosen) => onFilter({ ...filter, operation: chosen?.value })}
            busy={operations.isPending}
          />
        </div>
      }
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
      sheet={(open) => (
        <Entry
          key={open}
          row={list.rows?.find((each) => each.id === open)}
          titles={titles}
          onAll={onFilter}
        />
      )}
    />
  )
}

function Entry({
  row,
  titles,
  onAll,
}: {
  row: AuditEntry | undefined
  titles: Titles
  onAll: (only: AuditFilter) => void
}) {
  if (row === undefined) return <Notice title={t`This entry is not in the list any more`} />
  return (
    <article className="flex flex-col gap-4 p-4">
      <h2 className="text-base font-semibold break-words">{titleOf(titles, row.operation)}</h2>
      <FactList
        facts={[
          [t`Time`, <Time key="time" at={row.at} zoned />],
          [
            t`Who`,
            row.actor === "" ? (
              row.label || row.kind
            ) : (
              <NamedId
                key="who"
                id={row.actor}
                name={row.label || row.names[row.actor]}
                onAll={() => onAll({ actor: row.actor })}
              />
            ),
          ],
          [t`As`, row.kind],
          [t`From`, <code key="from">{row.address}</code>],
          [t`Answered`, row.status === 0 ? t`nobody` : row.status],
          ...aboutOf(row).map(
            ({ kind, id, name }) =>
              [
                wordOf(kind),
                <NamedId key={id} id={id} name={name} onAll={() => onAll({ on: id })} />,
              ] as const,
          ),
          [
            t`Customer`,
            row.customers.length === 0 ? (
              t`none`
            ) : (
              <ul key="customers">
                {whoseOf(row).map(({ id, name }) => (
                  <li key={id}>
                    <NamedId id={id} name={name} onAll={() => onAll({ customer: id })} />
                  </li>
                ))}
                {row.customer_count > row.customers.length && (
                  <li className="text-muted-foreground">
                    <Trans>and {row.customer_count - row.customers.length} more</Trans>
                  </li>
                )}
              </ul>
            ),
          ],
          [t`Operation`, <code key="operation">{row.operation}</code>],
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

function auditColumns(titles: Titles): Column<AuditEntry>[] {
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
      cell: (row) => <span title={row.operation}>{titleOf(titles, row.operation)}</span>,
    },
    {
      key: "on",
      title: t`On`,
      width: "minmax(110px, 1.2fr)",
      wide: true,
      className: "text-muted-foreground",
      cell: (row) => {
        const about = aboutOf(row)
        return (
          <span title={about.map(({ id }) => id).join(" ")}>
            {about.map(({ id, name }) => name ?? id).join(", ")}
          </span>
        )
      },
    },
    {
      key: "customer",
      title: t`Customer`,
      width: "minmax(90px, 0.8fr)",
      cell: (row) => {
        const [only] = whoseOf(row)
        if (only === undefined) return null
        return row.customer_count > 1 ? (
          t`${row.customer_count} customers`
        ) : (
          <span title={only.id}>{only.name ?? only.id}</span>
        )
      },
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
