import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useQuery } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { Layers } from "lucide-react"
import { useMemo } from "react"
import { answerOf, api } from "~/api/client"
import { type Bulk, BULK_STATES, type BulkFilter, shownState, VERBS, whichOf } from "~/api/bulks"
import { useRows } from "~/api/list"
import { moved, useRenewal } from "~/features/session/renewal"
import { buttonClass } from "~/ui/button"
import { Id } from "~/ui/copy"
import { FactList } from "~/ui/facts"
import { CataloguePage, type ListPlace, Toggles } from "~/ui/list-page"
import { Pending } from "~/ui/notice"
import { Progress } from "~/ui/progress"
import { StateBadge, StateMark } from "~/ui/state"
import type { Column } from "~/ui/table"
import { Time } from "~/ui/time"
import { BulkProgress, BulkTurns, useBulk } from "./bulk"
import { type Cause, causesQuery } from "./page"

const PAGE = 100
const RENEW_MS = 1_000
const idOf = (row: Bulk) => row.id

const words = (): Record<Bulk["do"], string> => ({
  replay: t`replay`,
  dismiss: t`dismiss`,
  cancel: t`cancel`,
  upgrade: t`upgrade`,
})

/** The bulks, running and past: each with how far it has come. */
export function BulksPage(place: ListPlace<BulkFilter>) {
  const { filter, onFilter } = place
  const list = useRows(["bulks", filter], (before, signal) => {
    const query = {
      ...filter,
      started: true,
      limit: PAGE,
      ...(before === undefined ? {} : { before }),
    }
    return answerOf(api.GET("/api/bulks", { params: { query }, signal }))
  })
  useRenewal(["bulks"], RENEW_MS, (news) => moved(news, "bulks"))
  const causes = useCauses(list.rows?.some((each) => whichOf(each).cause !== undefined) === true)
  const columns = useMemo(() => bulkColumns(causes), [causes])
  return (
    <CataloguePage
      title={t`Bulks`}
      thing={t`Bulk`}
      icon={<Layers />}
      place={place}
      list={list}
      columns={columns}
      idOf={idOf}
      actions={
        <Link to="/failures" className={buttonClass()}>
          {t`Failures`}
        </Link>
      }
      filters={
        <>
          <Toggles
            label={t`State`}
            options={BULK_STATES.map((each) => [
              each,
              <span key={each} className="inline-flex items-center gap-1.5">
                <StateMark state={shownState(each)} />
                <span aria-hidden>{shownState(each)}</span>
              </span>,
            ])}
            value={filter.state}
            onChange={(state) => onFilter({ ...filter, state })}
          />
          <Toggles
            label={t`What is done`}
            options={VERBS.map((each) => [each, words()[each]])}
            value={filter.do}
            onChange={(verb) => onFilter({ ...filter, do: verb })}
          />
        </>
      }
      none={{
        matching: t`No bulk matches`,
        title: t`No bulks yet`,
        text: (
          <Trans>
            Replaying or dismissing all executions of a cause makes one, as does upgrading many
            instances.
          </Trans>
        ),
      }}
      sheet={(open) => <BulkDetail key={open} id={open} />}
    />
  )
}

function BulkDetail({ id }: { id: string }) {
  const query = useBulk(id)
  const causes = useCauses(query.data !== undefined && whichOf(query.data).cause !== undefined)
  if (query.data === undefined) return <Pending of={query} lines={4} />
  const bulk = query.data
  const which = whichOf(bulk)
  const cause = causes?.find((each) => each.cause === which.cause)?.text
  return (
    <article className="flex flex-col gap-4 p-4">
      <h2 className="text-lg font-semibold first-letter:uppercase">{titleOf(bulk)}</h2>
      <BulkProgress bulk={bulk} />
      <div className="flex flex-wrap gap-2">
        <BulkTurns bulk={bulk} />
        {bulk.do === "upgrade" && which.integration !== undefined && (
          <Link
            to="/integrations/$integration"
            params={{ integration: which.integration }}
            search={{ view: "rollouts", rollout: bulk.id }}
            className={buttonClass("primary")}
          >
            {t`Its figures, and the way back`}
          </Link>
        )}
        {bulk.do !== "upgrade" && (
          <Link to="/executions" search={which} className={buttonClass()}>
            {t`What is like that now`}
          </Link>
        )}
      </div>
      <FactList
        facts={[
          [t`Bulk`, <Id key="id" id={bulk.id} />],
          [t`Begun`, <Time key="begun" at={bulk.made_at} zoned />],
          ...(bulk.ended_at === null
            ? []
            : [[t`Ended`, <Time key="ended" at={bulk.ended_at} zoned />] as const]),
          ...Object.entries(which).map(([name, value]) =>
            name === "cause" && cause !== undefined
              ? ([nameOf(name), cause] as const)
              : ([nameOf(name), <code key={name}>{value}</code>] as const),
          ),
        ]}
      />
    </article>
  )
}

/** The causes by which bulks were chosen, those of what was dealt with, too. */
function useCauses(enabled: boolean): Cause[] | undefined {
  return useQuery({ ...causesQuery({ dismissed: true }), enabled }).data
}

function nameOf(name: string): string {
  const names: Record<string, string> = {
    customer: t`Customer`,
    instance: t`Instance`,
    integration: t`Integration`,
    flow: t`Flow`,
    cause: t`Cause`,
    key: t`Record`,
    reason: t`Reason contains`,
  }
  return names[name] ?? name
}

/** Say what a bulk does, and with what: an integration, a flow, a cause. */
export function titleOf(bulk: Pick<Bulk, "do" | "wanted">, causes?: Cause[]): string {
  const { integration, flow, cause } = whichOf(bulk)
  const text = causes?.find((each) => each.cause === cause)?.text
  const of = [integration, flow, text].filter((each) => each !== undefined).join(" · ")
  return of === "" ? words()[bulk.do] : `${words()[bulk.do]}: ${of}`
}

function bulkColumns(causes?: Cause[]): Column<Bulk>[] {
  return [
    {
      key: "state",
      title: t`State`,
      width: "104px",
      cell: (row) => <StateBadge state={shownState(row.state)} />,
    },
    {
      key: "title",
      title: t`What is done`,
      width: "minmax(120px, 1.4fr)",
      className: "font-medium",
      cell: (row) => <span title={titleOf(row, causes)}>{titleOf(row, causes)}</span>,
    },
    {
      key: "progress",
      title: t`Progress`,
      width: "minmax(110px, 1fr)",
      cell: (row) => (
        <span className="flex items-center gap-2">
          <Progress value={row.done + row.refused} max={row.total} className="w-14 shrink-0" />
          <span className="figures">
            {(row.done + row.refused).toLocaleString()} / {row.total.toLocaleString()}
          </span>
        </span>
      ),
    },
    {
      key: "refused",
      title: t`Refused`,
      width: "72px",
      wide: true,
      end: true,
      className: "figures",
      cell: (row) =>
        row.refused > 0 && <span className="text-waiting">{row.refused.toLocaleString()}</span>,
    },
    {
      key: "failed",
      title: t`Failed again`,
      width: "88px",
      wide: true,
      end: true,
      className: "figures",
      cell: (row) =>
        (row.started.failed ?? 0) > 0 && (
          <Link
            to="/executions"
            search={{ bulk: row.id, state: ["failed"] }}
            tabIndex={-1}
            className="text-failed-text hover:underline"
          >
            {(row.started.failed ?? 0).toLocaleString()}
          </Link>
        ),
    },
    {
      key: "begun",
      title: t`Begun`,
      width: "128px",
      end: true,
      className: "text-muted-foreground",
      cell: (row) => <Time at={row.made_at} />,
    },
  ]
}
