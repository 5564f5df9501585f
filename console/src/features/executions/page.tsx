import { t } from "@lingui/core/macro"
import { Plural, Trans } from "@lingui/react/macro"
import { useQuery } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { ArrowUp, Inbox, Maximize2, TextSearch } from "lucide-react"
import { useCallback, useMemo } from "react"
import { answerOf, api } from "~/api/client"
import type { Summary } from "~/api/execution"
import { ExecutionDetail, type Place } from "~/features/execution/detail"
import { SHORTEST } from "~/features/search/search"
import { useSession } from "~/features/session/context"
import { useRenewal } from "~/features/session/renewal"
import { Button, buttonClass } from "~/ui/button"
import { ErrorNotice, Loading, Notice } from "~/ui/notice"
import { Sheet } from "~/ui/sheet"
import { Table } from "~/ui/table"
import { columns } from "./columns"
import { type Filter, queryOf } from "./filter"
import { Filters, KeySearch } from "./filters"
import { type ListStore, type Shown, useList } from "./store"

export type Selection = Place & { open?: string }

const COUNT_MS = 5_000
const MOST_COUNTED = 10_000
const idOf = (row: Summary) => row.id

/** The list of executions, live, with a sheet for the one that is open. */
export function ExecutionsPage({
  filter,
  selection,
  onFilter,
  onSelect,
}: {
  filter: Filter
  selection: Selection
  onFilter: (filter: Filter) => void
  onSelect: (selection: Selection) => void
}) {
  const { live, can } = useSession()
  const [shown, store] = useList(filter, live)
  const { open, ...place } = selection
  const close = useCallback(() => onSelect({}), [onSelect])
  return (
    <div className="flex h-full min-h-0">
      <section aria-label={t`Executions`} className="flex min-w-0 flex-1 flex-col">
        <h1 className="flex items-baseline gap-2 px-4 pt-3 text-lg font-semibold">
          {t`Executions`}
          <Total filter={filter} />
        </h1>
        <Filters filter={filter} onFilter={onFilter}>
          <KeySearch key={filter.key ?? ""} filter={filter} onFilter={onFilter} />
          {can("payloads") && (
            <Link to="/search" search={{ q: filter.key }} className={buttonClass("ghost")}>
              <TextSearch aria-hidden />
              {t`Search payloads`}
            </Link>
          )}
        </Filters>
        <Rows
          shown={shown}
          store={store}
          filter={filter}
          open={open}
          onOpen={(id) => onSelect({ open: id })}
          onReset={() => onFilter({})}
        />
      </section>
      {open !== undefined && (
        <Sheet
          label={t`Execution`}
          onClose={close}
          actions={
            <Link
              to="/executions/$execution"
              params={{ execution: open }}
              className={buttonClass("ghost")}
            >
              <Maximize2 aria-hidden />
              {t`Open in full`}
            </Link>
          }
        >
          <ExecutionDetail
            key={open}
            id={open}
            place={place}
            onPlace={(next) => onSelect({ open, ...next })}
          />
        </Sheet>
      )}
    </div>
  )
}

/** How many match, as far as they are counted. */
function Total({ filter }: { filter: Filter }) {
  const key = ["total", filter]
  const count = useQuery({
    queryKey: key,
    queryFn: async ({ signal }) => {
      const query = { ...queryOf(filter), limit: 1, total: true }
      return (await answerOf(api.GET("/api/executions", { params: { query }, signal }))).total
    },
  })
  useRenewal(key, COUNT_MS, (news) => news.kind === "changes")
  const total = count.data ?? null
  if (total === null) return null
  return (
    <span className="figures text-sm font-normal text-muted-foreground" data-testid="total">
      {total > MOST_COUNTED
        ? t`more than ${MOST_COUNTED.toLocaleString()}`
        : total.toLocaleString()}
    </span>
  )
}

function Rows({
  shown: { list, loading, error },
  store,
  filter,
  open,
  onOpen,
  onReset,
}: {
  shown: Shown
  store: ListStore
  filter: Filter
  open: string | undefined
  onOpen: (id: string) => void
  onReset: () => void
}) {
  const shownColumns = useMemo(() => columns(), [])
  const older = useCallback(() => void store.older(), [store])
  if (list.rows.length === 0) {
    if (error !== null) return <ErrorNotice error={error} retry={() => void store.renew()} />
    if (loading) return <Loading lines={12} />
    if (Object.keys(filter).length > 0) {
      const { key } = filter
      return (
        <Notice
          icon={<Inbox />}
          title={t`No execution matches`}
          action={
            <span className="flex flex-wrap justify-center gap-2">
              {key !== undefined && key.length >= SHORTEST && (
                <Link to="/search" search={{ q: key }} className={buttonClass("primary")}>
                  <TextSearch aria-hidden />
                  {t`Search everything for “${key}”`}
                </Link>
              )}
              <Button onClick={onReset}>{t`Remove all filters`}</Button>
            </span>
          }
        />
      )
    }
    return (
      <Notice icon={<Inbox />} title={t`No executions yet`}>
        <Trans>
          An event that arrives at an active instance starts one. To send one to a flow that{" "}
          <code>halflap dev</code> runs: <code>halflap events send</code>.
        </Trans>
      </Notice>
    )
  }
  return (
    <div
      className="relative flex min-h-0 flex-1 flex-col"
      onMouseEnter={() => store.hold(true)}
      onMouseLeave={() => store.hold(false)}
    >
      {list.fresh.length > 0 && (
        <div className="absolute inset-x-0 top-10 z-20 flex justify-center">
          <Button
            look="primary"
            className="rounded-full shadow-lg"
            icon={<ArrowUp aria-hidden />}
            onClick={() => store.release()}
          >
            <Plural value={list.fresh.length} one="# new" other="# new" />
          </Button>
        </div>
      )}
      <Table
        label={t`Executions`}
        rows={list.rows}
        columns={shownColumns}
        idOf={idOf}
        selected={open}
        onOpen={(row) => onOpen(row.id)}
        onNearEnd={older}
        footer={
          error !== null ? (
            <ErrorNotice error={error} retry={older} />
          ) : (
            <p className="px-4 py-3 text-xs text-muted-foreground">
              {list.next === null ? t`These are all.` : t`Older ones are loaded as you scroll.`}
            </p>
          )
        }
      />
    </div>
  )
}
