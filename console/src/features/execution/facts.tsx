import { t } from "@lingui/core/macro"
import { Link } from "@tanstack/react-router"
import type { ReactNode } from "react"
import type { Execution } from "~/api/execution"
import { Id } from "~/ui/copy"
import { Time } from "~/ui/time"
import { Value } from "./value"

/** All else that is known of an execution. */
export function Facts({ execution: e }: { execution: Execution }) {
  const rows: [string, ReactNode][] = [
    [t`Execution`, <Id key="id" id={e.id} />],
    [
      t`Instance`,
      <Link key="instance" to="/executions" search={{ instance: e.instance }} className="link">
        {e.instance_name ?? e.instance}
      </Link>,
    ],
    [t`Customer`, e.customer_name ?? e.customer],
    [t`Integration`, e.integration],
    [
      t`Version`,
      <span key="version">
        {e.version.number ?? ""} <code>{e.version.hash.slice(0, 12)}</code>
      </span>,
    ],
    [t`Config`, t`revision ${e.revision}`],
    [t`Accepted`, <Time key="accepted" at={e.accepted_at} zoned />],
  ]
  if (e.started_at !== null) rows.push([t`Began`, <Time key="began" at={e.started_at} zoned />])
  if (e.ended_at !== null) rows.push([t`Ended`, <Time key="ended" at={e.ended_at} zoned />])
  rows.push([t`Attempts`, e.attempt])
  if (e.duplicates > 0) rows.push([t`Duplicates`, t`${e.duplicates} came and were not run`])
  if (e.order !== null) {
    rows.push([
      t`Order`,
      <span key="order">
        {e.order.rule} <code>{e.order.key}</code>
      </span>,
    ])
  }
  if (e.root !== e.id) rows.push([t`Root`, <Id key="root" id={e.root} />])
  for (const each of e.paused) rows.push([t`Paused`, `${each.by} ${each.reason}`])
  return (
    <div className="flex flex-col gap-4">
      <dl className="grid grid-cols-[max-content_minmax(0,1fr)] gap-x-6 gap-y-1.5 [&_dt]:text-muted-foreground">
        {rows.map(([name, value]) => (
          <div key={name} className="contents">
            <dt>{name}</dt>
            <dd className="min-w-0 break-words">{value}</dd>
          </div>
        ))}
      </dl>
      {e.result !== null && (
        <section>
          <h2 className="pb-2 font-semibold">{t`Result`}</h2>
          <Value execution={e.id} part="result" excerpt={e.result} label={t`Result`} />
        </section>
      )}
    </div>
  )
}
