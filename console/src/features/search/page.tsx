import { t } from "@lingui/core/macro"
import { Plural, Trans } from "@lingui/react/macro"
import { Link } from "@tanstack/react-router"
import { LoaderCircle, Lock, Maximize2, SearchX, Square, TextSearch } from "lucide-react"
import {
  type SubmitEvent,
  useCallback,
  useEffect,
  useMemo,
  useState,
  useSyncExternalStore,
} from "react"
import { ExecutionDetail, type Place } from "~/features/execution/detail"
import type { Filter } from "~/features/executions/filter"
import { Filters, OF_SEARCHES } from "~/features/executions/filters"
import { useSession } from "~/features/session/context"
import { Button, buttonClass } from "~/ui/button"
import { Input, Select } from "~/ui/field"
import { ErrorNotice, Notice } from "~/ui/notice"
import { Sheet } from "~/ui/sheet"
import { StateBadge } from "~/ui/state"
import { type Column, Table } from "~/ui/table"
import { shortTime, Time } from "~/ui/time"
import {
  around,
  type Found,
  placeOf,
  type Results,
  type Search,
  searchOf,
  SHORTEST,
} from "./search"

export type Selection = Place & { open?: string }

/** A search for a text: among records and ids, then through what was sent and received. */
export function SearchPage({
  text,
  filter,
  selection: { open, ...place },
  onSearch,
  onSelect,
}: {
  text: string
  filter: Filter
  selection: Selection
  onSearch: (text: string, filter: Filter) => void
  onSelect: (selection: Selection) => void
}) {
  const close = useCallback(() => {
    onSelect({})
    requestAnimationFrame(() =>
      document.querySelector<HTMLElement>("[role=row][tabindex='0']")?.focus(),
    )
  }, [onSelect])
  return (
    <div className="flex h-full min-h-0">
      <section aria-label={t`Search`} className="flex min-w-0 flex-1 flex-col">
        <h1 className="px-4 pt-3 text-lg font-semibold">{t`Search`}</h1>
        <Filters filter={filter} onFilter={(next) => onSearch(text, next)} only={OF_SEARCHES}>
          <SearchForm key={text} text={text} filter={filter} onSearch={onSearch} />
        </Filters>
        {text.length < SHORTEST ? (
          <Notice icon={<TextSearch />} title={t`Search what was sent and received`}>
            <Trans>
              Type what the customer names: an order’s number, an email address. Records and ids
              come first; then events, what steps were given and returned, and logs, the newest
              first.
            </Trans>
          </Notice>
        ) : (
          <ResultsOf
            text={text}
            filter={filter}
            open={open}
            onOpen={(found) => onSelect({ open: found.execution.id, ...placeOf(found) })}
          />
        )}
      </section>
      {open !== undefined && (
        <Sheet
          label={t`Execution`}
          onClose={close}
          actions={
            <Link
              to="/executions/$execution"
              params={{ execution: open }}
              search={place}
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

function SearchForm({
  text,
  filter,
  onSearch,
}: {
  text: string
  filter: Filter
  onSearch: (text: string, filter: Filter) => void
}) {
  const [typed, setTyped] = useState(text)
  const [short, setShort] = useState(false)
  const spans = {
    "1h": t`Last hour`,
    "1d": t`Last day`,
    "7d": t`Last 7 days`,
    "30d": t`Last 30 days`,
  }
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    const wanted = typed.trim()
    setShort(wanted.length < SHORTEST)
    if (wanted.length >= SHORTEST) onSearch(wanted, filter)
  }
  const own = filter.since !== undefined && !(filter.since in spans)
  return (
    <form onSubmit={submit} role="search" className="flex w-full max-w-3xl flex-wrap gap-2">
      <div className="relative min-w-48 flex-1">
        <TextSearch aria-hidden className="absolute top-1.5 left-2 size-4 text-muted-foreground" />
        <Input
          type="search"
          autoFocus={text === ""}
          aria-label={t`Text to search for`}
          placeholder={t`A text, to the letter`}
          aria-invalid={short || undefined}
          aria-describedby={short ? "short" : undefined}
          className="pl-7"
          value={typed}
          onChange={(event) => setTyped(event.target.value)}
        />
        {short && (
          <p id="short" className="pt-1 text-xs text-failed-text">
            {t`Type 3 characters at least.`}
          </p>
        )}
      </div>
      <Select
        aria-label={t`Time`}
        className="w-auto!"
        value={own ? "own" : (filter.since ?? "")}
        onChange={(event) =>
          onSearch(text, { ...filter, since: event.target.value || undefined, until: undefined })
        }
      >
        <option value="">{t`Any time`}</option>
        {Object.entries(spans).map(([value, label]) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
        {own && (
          <option value="own" disabled>
            {t`As the filter says`}
          </option>
        )}
      </Select>
      <Button type="submit" look="primary">{t`Search`}</Button>
    </form>
  )
}

function ResultsOf({
  text,
  filter,
  open,
  onOpen,
}: {
  text: string
  filter: Filter
  open: string | undefined
  onOpen: (found: Found) => void
}) {
  const { can, live } = useSession()
  const payloads = can("payloads")
  const search = searchOf(text, filter, payloads)
  const results = useSyncExternalStore(search.subscribe, search.get)
  useEffect(() => {
    search.go()
    return () => search.stop()
  }, [search])
  useEffect(
    () => live.listen((news) => news.kind === "changes" && search.hear(news.changes)),
    [live, search],
  )
  const shown = useMemo(() => columns(), [])
  const { found, phase, error } = results
  return (
    <>
      <Progress results={results} payloads={payloads} search={search} />
      {error !== null && <ErrorNotice error={error} retry={() => search.go()} />}
      {found.length > 0 && (
        <Table
          label={t`Found`}
          rows={found}
          columns={shown}
          idOf={(row) => row.execution.id}
          selected={open}
          onOpen={onOpen}
        />
      )}
      {found.length === 0 && phase === "done" && error === null && (
        <Notice icon={<SearchX />} title={t`Nothing has this text`}>
          <Trans>
            It is searched to the letter, capitals too. Values that are stored apart for their size
            are not searched.
          </Trans>
        </Notice>
      )}
    </>
  )
}

function Progress({
  results: { found, reached, phase, error },
  payloads,
  search,
}: {
  results: Results
  payloads: boolean
  search: Search
}) {
  const { can } = useSession()
  const back = reached === null ? null : shortTime(reached)
  return (
    <div className="flex min-h-9 flex-wrap items-center gap-x-3 gap-y-1 border-y px-4 py-1 text-muted-foreground">
      {phase === "running" && (
        <LoaderCircle aria-hidden className="size-3.5 shrink-0 animate-spin" />
      )}
      <p role="status" className="figures" data-testid="progress">
        <Plural value={found.length} _0="Nothing found yet" one="# found" other="# found" />
        {" · "}
        {!payloads
          ? t`records and ids are searched`
          : phase === "done"
            ? t`all of it is searched`
            : back === null
              ? t`searching…`
              : t`searched back to ${back}`}
      </p>
      {phase === "running" && payloads && (
        <Button
          className="h-6 text-xs"
          icon={<Square aria-hidden />}
          onClick={() => search.stop()}
        >{t`Stop`}</Button>
      )}
      {(phase === "stopped" || phase === "enough") && error === null && (
        <Button
          className="h-6 text-xs"
          onClick={() => search.go()}
        >{t`Search further back`}</Button>
      )}
      {!can("private_payloads") && (
        <p className="inline-flex items-center gap-1.5 text-xs">
          <Lock aria-hidden className="size-3.5 shrink-0" />
          {payloads
            ? t`Customers whose payloads your role does not show are left out.`
            : t`Your role does not show what was sent and received.`}
        </p>
      )}
    </div>
  )
}

function whereOf({ part, step, title }: Found): string {
  const name = title ?? step ?? ""
  switch (part) {
    case "reference":
      return t`Record or id`
    case "event":
      return t`Event`
    case "inputs":
      return t`Input of ${name}`
    case "result":
      return t`Output of ${name}`
    case "log":
      return t`Log`
  }
}

function columns(): Column<Found>[] {
  return [
    {
      key: "state",
      title: t`State`,
      width: "96px",
      cell: ({ execution }) => <StateBadge state={execution.state} dim={execution.dismissed} />,
    },
    {
      key: "flow",
      title: t`Flow`,
      width: "minmax(90px, 0.6fr)",
      wide: true,
      className: "font-medium",
      cell: ({ execution }) => (
        <span title={`${execution.integration} · ${execution.flow}`}>{execution.flow}</span>
      ),
    },
    {
      key: "customer",
      title: t`Customer`,
      width: "minmax(90px, 0.6fr)",
      cell: ({ execution }) => execution.customer_name ?? execution.customer,
    },
    {
      key: "where",
      title: t`Where`,
      width: "minmax(110px, 0.8fr)",
      wide: true,
      className: "text-muted-foreground",
      cell: (row) => <span title={whereOf(row)}>{whereOf(row)}</span>,
    },
    {
      key: "text",
      title: t`Text`,
      width: "minmax(160px, 2.4fr)",
      className: "font-mono text-xs",
      cell: (row) => {
        const [before, text, after] = around(row)
        return (
          <span title={row.excerpt}>
            {before}
            <mark>{text}</mark>
            {after}
          </span>
        )
      },
    },
    {
      key: "accepted",
      title: t`Accepted`,
      width: "112px",
      wide: true,
      end: true,
      className: "text-muted-foreground",
      cell: ({ execution }) => <Time at={execution.accepted_at} />,
    },
  ]
}
