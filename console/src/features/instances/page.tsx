import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useQuery } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { Boxes, Maximize2 } from "lucide-react"
import { useMemo } from "react"
import type { Schemas } from "~/api/client"
import {
  haltedQuery,
  healthsQuery,
  type InstanceFilter,
  type InstanceState,
  type InstanceSummary,
  loadInstances,
  STATES,
} from "~/api/instances"
import { useRows } from "~/api/list"
import { moved, useRenewal } from "~/features/session/renewal"
import { buttonClass } from "~/ui/button"
import { CataloguePage, type ListPlace, Toggles } from "~/ui/list-page"
import type { Column } from "~/ui/table"
import { Time } from "~/ui/time"
import { InstanceDetailView } from "./detail"
import { HaltedListeners } from "./listeners"
import { DevelopmentBadge, InstanceBadge, useStateWord } from "./state"

const RENEW_MS = 2_000
const HEALTH_MS = 5_000
const MOST_HEALTHS = 200
const idOf = (row: InstanceSummary) => row.id

export function InstancesPage(place: ListPlace<InstanceFilter>) {
  const word = useStateWord()
  const { filter, view, onFilter, onOpen } = place
  const list = useRows(["instances", "list", filter], (after, signal) =>
    loadInstances(filter, after, signal),
  )
  const first = useMemo(
    () => (list.rows ?? []).slice(0, MOST_HEALTHS).map((each) => each.id),
    [list.rows],
  )
  const healths = useQuery(healthsQuery(first))
  useRenewal(["instances", "list"], RENEW_MS, (news) => moved(news, "instances"))
  useRenewal(["instances", "healths"], HEALTH_MS, (news) => news.kind === "changes")
  const halted = useQuery(haltedQuery)
  const columns = useMemo(
    () => instanceColumns(healths.data, halted.data ?? []),
    [healths.data, halted.data],
  )
  return (
    <CataloguePage
      title={t`Instances`}
      thing={t`Instance`}
      icon={<Boxes />}
      place={place}
      list={list}
      columns={columns}
      idOf={idOf}
      texts={[
        ["q", t`Name or id`],
        ["customer", t`Customer`],
        ["integration", t`Integration`],
        ...(filter.integration === undefined ? [] : [["version", t`Version`] as const]),
      ]}
      filters={
        <>
          <Toggles<InstanceState>
            label={t`State`}
            options={STATES.map((each) => [each, word(each)] as const)}
            value={filter.state}
            onChange={(state) => onFilter({ ...filter, state })}
          />
          <Toggles<"paused">
            label={t`Pauses`}
            options={[["paused", t`paused`]]}
            value={filter.paused && "paused"}
            onChange={(paused) => onFilter({ ...filter, paused: paused && true })}
          />
        </>
      }
      none={{
        matching: t`No instance matches`,
        title: t`No instances yet`,
        text: (
          <Trans>
            An instance is an integration, activated for a customer. Choose a customer, and activate
            one for it.
          </Trans>
        ),
      }}
      whole={(instance) => (
        <Link to="/instances/$instance" params={{ instance }} className={buttonClass("ghost")}>
          <Maximize2 aria-hidden />
          {t`Open in full`}
        </Link>
      )}
      sheet={(open, close) => (
        <InstanceDetailView
          key={open}
          id={open}
          view={view}
          onView={(next) => onOpen(open, next)}
          onGone={close}
        />
      )}
    />
  )
}

type Healths = Map<string, { failed: number | null; backlog: number; last_ok: string | null }>

function instanceColumns(
  healths: Healths | undefined,
  halted: readonly Schemas["InstanceListener"][],
): Column<InstanceSummary>[] {
  return [
    {
      key: "state",
      title: t`State`,
      width: "104px",
      cell: (row) => (
        <InstanceBadge state={row.state} paused={row.paused.length > 0} trouble={row.trouble} />
      ),
    },
    {
      key: "name",
      title: t`Name`,
      width: "minmax(120px, 1.1fr)",
      cell: (row) => (
        <>
          <HaltedListeners
            instance={row.id}
            halted={halted.filter(({ instance }) => instance === row.id)}
          />{" "}
          <Link
            to="/instances/$instance"
            params={{ instance: row.id }}
            tabIndex={-1}
            className="font-medium hover:underline"
            title={row.name}
          >
            {row.name}
          </Link>
        </>
      ),
    },
    {
      key: "customer",
      title: t`Customer`,
      width: "minmax(90px, 1fr)",
      cell: (row) =>
        row.development ? (
          <DevelopmentBadge />
        ) : (
          <span title={row.customer_name}>{row.customer_name}</span>
        ),
    },
    {
      key: "integration",
      title: t`Integration`,
      width: "minmax(90px, 1fr)",
      wide: true,
      className: "text-muted-foreground",
      cell: (row) => (
        <span title={row.version.hash}>
          {row.integration} {row.version.number}
        </span>
      ),
    },
    {
      key: "failed",
      title: t`Failed in 24 h`,
      width: "96px",
      wide: true,
      end: true,
      className: "figures",
      cell: (row) => <Failed row={row} failed={healths?.get(row.id)?.failed} />,
    },
    {
      key: "backlog",
      title: t`Waiting`,
      width: "72px",
      wide: true,
      end: true,
      className: "figures text-muted-foreground",
      cell: (row) => healths?.get(row.id)?.backlog.toLocaleString() || "",
    },
    {
      key: "ok",
      title: t`Last success`,
      width: "112px",
      wide: "most",
      end: true,
      className: "text-muted-foreground",
      cell: (row) => {
        const at = healths?.get(row.id)?.last_ok
        return at == null ? "" : <Time at={at} />
      },
    },
  ]
}

function Failed({ row, failed }: { row: InstanceSummary; failed: number | null | undefined }) {
  if (failed === undefined) return null
  if (failed === 0) return <span className="text-muted-foreground">0</span>
  return (
    <Link
      to="/executions"
      search={{ instance: row.id, state: ["failed"], since: "24h" }}
      tabIndex={-1}
      className="text-failed-text hover:underline"
    >
      {failed === null || failed > 1_000 ? "1,000+" : failed.toLocaleString()}
    </Link>
  )
}
