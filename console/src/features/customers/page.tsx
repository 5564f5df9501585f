import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { Link } from "@tanstack/react-router"
import { Building2, Lock, Maximize2, Plus } from "lucide-react"
import { useMemo, useState } from "react"
import { type Customer, type CustomerFilter, customersKey, loadCustomers } from "~/api/customers"
import { STATES } from "~/api/instances"
import { useRows } from "~/api/list"
import { DevelopmentBadge, useStateWord } from "~/features/instances/state"
import { useSession } from "~/features/session/context"
import { moved, useRenewal } from "~/features/session/renewal"
import { Button, buttonClass } from "~/ui/button"
import { CataloguePage, type ListPlace, Toggles } from "~/ui/list-page"
import type { Column } from "~/ui/table"
import { Time } from "~/ui/time"
import { CustomerDetailView } from "./detail"
import { NewCustomer } from "./new"

const RENEW_MS = 3_000
const idOf = (row: Customer) => row.id

/** The number of instances by state, such as "12 active, 1 failed". */
export function Counts({ instances }: { instances: Customer["instances"] }) {
  const word = useStateWord()
  const some = STATES.filter((each) => (instances[each] ?? 0) > 0)
  if (some.length === 0) return <span className="text-muted-foreground">{t`none`}</span>
  return some.map((each, at) => (
    <span key={each} className={each === "failed" ? "text-failed-text" : undefined}>
      {at > 0 && ", "}
      {instances[each]} {word(each)}
    </span>
  ))
}

export function CustomersPage(place: ListPlace<CustomerFilter>) {
  const { can } = useSession()
  const { filter, view, onFilter, onOpen } = place
  const list = useRows(customersKey(filter), (after, signal) =>
    loadCustomers(filter, after, signal),
  )
  useRenewal(["customers", "list"], RENEW_MS, (news) => moved(news, "instances"))
  const [adding, setAdding] = useState(false)
  const columns = useMemo(() => customerColumns(), [])
  return (
    <CataloguePage
      title={t`Customers`}
      thing={t`Customer`}
      icon={<Building2 />}
      place={place}
      list={list}
      columns={columns}
      idOf={idOf}
      texts={[["q", t`Name or id`]]}
      filters={
        <Toggles
          label={t`Privacy`}
          options={[["private", t`private`]] as const}
          value={filter.private === true ? "private" : undefined}
          onChange={(next) =>
            onFilter({ ...(filter.q && { q: filter.q }), ...(next && { private: true }) })
          }
        />
      }
      actions={
        can("configure") && (
          <Button look="primary" icon={<Plus aria-hidden />} onClick={() => setAdding(true)}>
            {t`New customer`}
          </Button>
        )
      }
      none={{
        matching: t`No customer matches`,
        title: t`No customers yet`,
        text: (
          <Trans>
            A customer of your product has connections to its own apps, and instances of your
            integrations.
          </Trans>
        ),
      }}
      whole={(customer) => (
        <Link to="/customers/$customer" params={{ customer }} className={buttonClass("ghost")}>
          <Maximize2 aria-hidden />
          {t`Open in full`}
        </Link>
      )}
      sheet={(open, close) => (
        <CustomerDetailView
          key={open}
          id={open}
          view={view}
          onView={(next) => onOpen(open, next)}
          onGone={close}
        />
      )}
    >
      {adding && (
        <NewCustomer
          onClose={() => setAdding(false)}
          onMade={(made) => {
            setAdding(false)
            onOpen(made.id)
          }}
        />
      )}
    </CataloguePage>
  )
}

function customerColumns(): Column<Customer>[] {
  return [
    {
      key: "name",
      title: t`Name`,
      width: "minmax(140px, 1.4fr)",
      cell: (row) => (
        <span className="inline-flex max-w-full items-center gap-1.5">
          <Link
            to="/customers/$customer"
            params={{ customer: row.id }}
            tabIndex={-1}
            className="truncate font-medium hover:underline"
            title={row.name}
          >
            {row.name}
          </Link>
          {row.private && (
            <span title={t`private: support does not see its payloads`} className="shrink-0">
              <Lock aria-hidden className="size-3.5 text-muted-foreground" />
              <span className="sr-only">{t`private`}</span>
            </span>
          )}
          {row.development && <DevelopmentBadge />}
          {row.paused !== null && <span className="text-xs text-waiting">{t`paused`}</span>}
        </span>
      ),
    },
    {
      key: "instances",
      title: t`Instances`,
      width: "minmax(120px, 1.2fr)",
      cell: (row) => <Counts instances={row.instances} />,
    },
    {
      key: "external",
      title: t`Id in your product`,
      width: "minmax(90px, 0.8fr)",
      wide: true,
      className: "font-mono text-xs text-muted-foreground",
      cell: (row) => row.external_id,
    },
    {
      key: "since",
      title: t`Since`,
      width: "120px",
      wide: true,
      end: true,
      className: "text-muted-foreground",
      cell: (row) => <Time at={row.created_at} />,
    },
  ]
}
