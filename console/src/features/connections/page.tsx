import { t } from "@lingui/core/macro"
import { Plural, Trans } from "@lingui/react/macro"
import { Link } from "@tanstack/react-router"
import { Plug, Plus } from "lucide-react"
import { useMemo, useState } from "react"
import { type Connection, type ConnectionFilter, loadConnections } from "~/api/connections"
import { useRows } from "~/api/list"
import { useSession } from "~/features/session/context"
import { moved, useRenewal } from "~/features/session/renewal"
import { Button } from "~/ui/button"
import { CataloguePage, type ListPlace, Toggles } from "~/ui/list-page"
import type { Column } from "~/ui/table"
import { Time } from "~/ui/time"
import { TeamApps } from "./apps"
import { ConnectionDetailView } from "./detail"
import { NewConnection } from "./new"
import { ConnectionBadge } from "./state"

const RENEW_MS = 2_000
const idOf = (row: Connection) => row.id

export function ConnectionsPage(place: ListPlace<ConnectionFilter>) {
  const { can } = useSession()
  const { filter, onFilter } = place
  const list = useRows(["connections", "list", filter], (after, signal) =>
    loadConnections(filter, after, signal),
  )
  useRenewal(["connections", "list"], RENEW_MS, (news) => moved(news, "connections", "instances"))
  const [adding, setAdding] = useState(false)
  const [apps, setApps] = useState(false)
  const columns = useMemo(() => connectionColumns(), [])
  return (
    <CataloguePage
      title={t`Connections`}
      thing={t`Connection`}
      icon={<Plug />}
      place={place}
      list={list}
      columns={columns}
      idOf={idOf}
      texts={[
        ["q", t`Name or id`],
        ["customer", t`Customer`],
        ["component", t`App`],
      ]}
      filters={
        <Toggles
          label={t`Status`}
          options={
            [
              ["unauthorized", t`unauthorized`],
              ["away", t`app away`],
              ["untested", t`untested`],
              ["working", t`working`],
            ] as const
          }
          value={filter.status}
          onChange={(status) => onFilter({ ...filter, status })}
        />
      }
      actions={
        <>
          {can("admin") && <Button onClick={() => setApps(true)}>{t`OAuth apps`}</Button>}
          {can("configure") && (
            <Button look="primary" icon={<Plus aria-hidden />} onClick={() => setAdding(true)}>
              {filter.customer === undefined ? t`New for the team` : t`New connection`}
            </Button>
          )}
        </>
      }
      none={{
        matching: t`No connection matches`,
        title: t`No connections yet`,
        text: (
          <Trans>
            A connection is an account of an app. A customer's are made on its page, or as an
            integration is activated for it.
          </Trans>
        ),
      }}
      sheet={(open, close) => <ConnectionDetailView key={open} id={open} onGone={close} />}
    >
      {apps && <TeamApps onClose={() => setApps(false)} />}
      {adding && (
        <NewConnection customer={filter.customer ?? null} onClose={() => setAdding(false)} />
      )}
    </CataloguePage>
  )
}

function UsedBy({ row }: { row: Connection }) {
  const [first] = row.used_by
  if (first === undefined) return <span className="text-muted-foreground">{t`none`}</span>
  if (row.uses === 1) {
    return (
      <Link
        to="/instances"
        search={{ open: first.id }}
        tabIndex={-1}
        className="hover:underline"
        title={first.name}
      >
        {first.name}
      </Link>
    )
  }
  return (
    <span title={row.used_by.map((each) => each.name).join(", ")}>
      <Plural value={row.uses} one="# instance" other="# instances" />
    </span>
  )
}

function connectionColumns(): Column<Connection>[] {
  return [
    {
      key: "status",
      title: t`Status`,
      width: "112px",
      cell: (row) => <ConnectionBadge connection={row} />,
    },
    {
      key: "name",
      title: t`Name`,
      width: "minmax(120px, 1.2fr)",
      className: "font-medium",
      cell: (row) => <span title={row.name}>{row.name}</span>,
    },
    {
      key: "app",
      title: t`App`,
      width: "minmax(90px, 0.8fr)",
      className: "text-muted-foreground",
      cell: (row) => <span title={row.component}>{row.component}</span>,
    },
    {
      key: "customer",
      title: t`Customer`,
      width: "minmax(90px, 0.9fr)",
      wide: true,
      cell: (row) =>
        row.customer === null ? (
          <span className="text-muted-foreground">{t`the team's`}</span>
        ) : (
          <Link
            to="/customers"
            search={{ open: row.customer }}
            tabIndex={-1}
            className="hover:underline"
            title={row.customer_name ?? row.customer}
          >
            {row.customer_name ?? row.customer}
          </Link>
        ),
    },
    {
      key: "uses",
      title: t`Used by`,
      width: "minmax(90px, 0.9fr)",
      wide: true,
      cell: (row) => <UsedBy row={row} />,
    },
    {
      key: "since",
      title: t`Made`,
      width: "120px",
      wide: true,
      end: true,
      className: "text-muted-foreground",
      cell: (row) => <Time at={row.created_at} />,
    },
  ]
}
