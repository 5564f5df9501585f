import { t } from "@lingui/core/macro"
import { Plural, Trans } from "@lingui/react/macro"
import { keepPreviousData, useQuery } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { CircleCheck, RotateCcw, Trash2 } from "lucide-react"
import { useCallback, useMemo, useState } from "react"
import { answerOf, api, type Schemas } from "~/api/client"
import { type Filter, queryOf, timeHint, timeOf } from "~/features/executions/filter"
import { useSession } from "~/features/session/context"
import { useRenewal } from "~/features/session/renewal"
import { Button, buttonClass } from "~/ui/button"
import { Choice, Input } from "~/ui/field"
import { ErrorNotice, Loading, Notice } from "~/ui/notice"
import { Sheet } from "~/ui/sheet"
import { type Column, Table } from "~/ui/table"
import { Time } from "~/ui/time"
import { BulkDialog, type Verb, type Where } from "./bulk"

export type Cause = Schemas["CauseView"]
export type FailureFilter = Pick<Filter, "customer" | "integration" | "flow" | "since"> & {
  dismissed?: true
}

const MOST = 200
const RENEW_MS = 2_000

export const causesQuery = (filter: FailureFilter) => {
  const { dismissed, ...rest } = filter
  return {
    queryKey: ["causes", filter],
    placeholderData: keepPreviousData,
    queryFn: ({ signal }: { signal: AbortSignal }): Promise<Cause[]> => {
      const query = {
        ...queryOf(rest),
        limit: MOST,
        ...(dismissed === true ? { dismissed: true } : {}),
      }
      return answerOf(api.GET("/api/executions/causes", { params: { query }, signal }))
    },
  }
}

/** Say in which instances executions failed of a cause. */
export function whereOf({ instances, instance_count, customer_count }: Cause): string {
  const [first] = instances
  if (instance_count === 1 && first !== undefined) {
    return first.customer_name === null ? first.id : first.customer_name
  }
  return customer_count === 1 && first !== undefined
    ? t`${instance_count} instances of ${first.customer_name ?? first.id}`
    : t`${customer_count} customers`
}

/** What failed, by what it failed of, the most first. */
export function FailuresPage({
  filter,
  open,
  onFilter,
  onOpen,
}: {
  filter: FailureFilter
  open: string | undefined
  onFilter: (filter: FailureFilter) => void
  onOpen: (cause: string | undefined) => void
}) {
  const query = useQuery(causesQuery(filter))
  useRenewal(["causes"], RENEW_MS, (news) => news.kind === "changes")
  const close = useCallback(() => onOpen(undefined), [onOpen])
  const selected = query.data?.find((each) => each.cause === open)
  // The dialog outlives its cause, which is gone as soon as all of it is replayed.
  const [bulk, setBulk] = useState<{ verb: Verb; where: Where } | null>(null)
  return (
    <div className="flex h-full min-h-0">
      <section aria-label={t`Failures`} className="flex min-w-0 flex-1 flex-col">
        <div className="flex items-center justify-between gap-2 px-4 pt-3">
          <h1 className="text-lg font-semibold">{t`Failures`}</h1>
          <Link to="/failures/bulks" className={buttonClass()}>
            {t`Bulks`}
          </Link>
        </div>
        <FailureFilters filter={filter} onFilter={onFilter} />
        <Causes
          causes={query.data}
          error={query.error}
          retry={() => void query.refetch()}
          filtered={Object.keys(filter).length > 0}
          open={open}
          onOpen={(cause) => onOpen(cause.cause)}
        />
      </section>
      {selected !== undefined && (
        <Sheet label={t`Cause`} onClose={close}>
          <CauseDetail
            key={selected.cause}
            cause={selected}
            filter={filter}
            onBulk={(verb) =>
              setBulk({ verb, where: { ...narrowed(filter), cause: selected.cause } })
            }
          />
        </Sheet>
      )}
      {bulk !== null && <BulkDialog {...bulk} onClose={() => setBulk(null)} />}
    </div>
  )
}

function Causes({
  causes,
  error,
  retry,
  filtered,
  open,
  onOpen,
}: {
  causes: Cause[] | undefined
  error: unknown
  retry: () => void
  filtered: boolean
  open: string | undefined
  onOpen: (cause: Cause) => void
}) {
  const columns = useMemo(() => causeColumns(), [])
  if (causes === undefined)
    return error === null ? <Loading /> : <ErrorNotice error={error} retry={retry} />
  if (causes.length === 0) {
    return (
      <Notice icon={<CircleCheck />} title={filtered ? t`No failure matches` : t`Nothing failed`}>
        {filtered ? undefined : t`What fails is listed here until it is replayed or dismissed.`}
      </Notice>
    )
  }
  return (
    <Table
      label={t`Causes`}
      rows={causes}
      columns={columns}
      idOf={(row) => row.cause}
      selected={open}
      onOpen={onOpen}
    />
  )
}

function causeColumns(): Column<Cause>[] {
  return [
    {
      key: "count",
      title: t`Count`,
      width: "64px",
      end: true,
      className: "figures font-semibold",
      cell: (row) => row.count.toLocaleString(),
    },
    {
      key: "text",
      title: t`Cause`,
      width: "minmax(140px, 2.2fr)",
      wraps: true,
      cell: (row) => row.text,
    },
    {
      key: "flows",
      title: t`Flows`,
      width: "minmax(90px, 0.7fr)",
      wide: true,
      className: "text-muted-foreground",
      cell: (row) => row.flows.join(", "),
    },
    {
      key: "where",
      title: t`Where`,
      width: "minmax(90px, 0.7fr)",
      wide: true,
      className: "text-muted-foreground",
      cell: whereOf,
    },
    {
      key: "first",
      title: t`First`,
      width: "112px",
      wide: true,
      end: true,
      className: "text-muted-foreground",
      cell: (row) => <Time at={row.first_at} />,
    },
    {
      key: "last",
      title: t`Last`,
      width: "112px",
      end: true,
      className: "text-muted-foreground",
      cell: (row) => <Time at={row.last_at} />,
    },
  ]
}

function FailureFilters({
  filter,
  onFilter,
}: {
  filter: FailureFilter
  onFilter: (filter: FailureFilter) => void
}) {
  const [texts, setTexts] = useState({
    customer: filter.customer ?? "",
    integration: filter.integration ?? "",
    flow: filter.flow ?? "",
    since: filter.since ?? "",
  })
  const apply = (dismissed: boolean) => {
    const set = Object.entries(texts).filter(([, text]) => text.trim() !== "")
    onFilter({ ...Object.fromEntries(set), ...(dismissed ? { dismissed: true } : {}) })
  }
  const labels = {
    customer: t`Customer`,
    integration: t`Integration`,
    flow: t`Flow`,
    since: t`Since, e.g. 2h`,
  }
  const wrong = filter.since !== undefined && timeOf(filter.since) === null
  return (
    <form
      className="flex flex-wrap items-center gap-2 px-4 py-2"
      onSubmit={(event) => {
        event.preventDefault()
        apply(filter.dismissed === true)
      }}
    >
      {(["customer", "integration", "flow", "since"] as const).map((name) => (
        <Input
          key={name}
          aria-label={labels[name]}
          placeholder={labels[name]}
          className="max-w-[calc(50%-4px)] sm:max-w-36"
          aria-invalid={name === "since" && wrong ? true : undefined}
          title={name === "since" ? timeHint() : undefined}
          value={texts[name]}
          onChange={(event) => setTexts({ ...texts, [name]: event.target.value })}
          onBlur={() => texts[name] !== (filter[name] ?? "") && apply(filter.dismissed === true)}
        />
      ))}
      <Choice
        label={t`Also dismissed and replayed ones`}
        checked={filter.dismissed === true}
        onChange={(event) => apply(event.target.checked)}
      />
      <button type="submit" hidden />
    </form>
  )
}

function CauseDetail({
  cause,
  filter,
  onBulk,
}: {
  cause: Cause
  filter: FailureFilter
  onBulk: (verb: Verb) => void
}) {
  const { can } = useSession()
  const all: Filter = {
    ...narrowed(filter),
    cause: cause.cause,
    ...(filter.dismissed ? {} : { dead: true }),
  }
  return (
    <div className="flex flex-col gap-4 p-4">
      <div className="flex flex-col gap-1">
        <h2 className="text-base font-semibold wrap-anywhere">{cause.text}</h2>
        {cause.message !== "" && !cause.text.includes(cause.message) && (
          <p className="whitespace-pre-wrap wrap-anywhere">
            <span className="text-muted-foreground">{t`The newest, whole:`}</span> {cause.message}
          </p>
        )}
        <p className="text-muted-foreground">
          <Plural value={cause.count} one="# execution" other="# executions" />
          {" · "}
          <Trans>
            first <Time at={cause.first_at} />, last <Time at={cause.last_at} />
          </Trans>
        </p>
      </div>
      <div className="flex flex-wrap gap-2">
        {can("operate") && (
          <>
            <Button
              look="primary"
              icon={<RotateCcw aria-hidden />}
              onClick={() => onBulk("replay")}
            >
              {t`Replay all…`}
            </Button>
            <Button icon={<Trash2 aria-hidden />} onClick={() => onBulk("dismiss")}>
              {t`Dismiss all…`}
            </Button>
          </>
        )}
        <Link to="/executions" search={all} className={buttonClass()}>
          {t`Show the executions`}
        </Link>
        <Link
          to="/executions/$execution"
          params={{ execution: cause.example }}
          className={buttonClass()}
        >
          {t`Open the newest`}
        </Link>
      </div>
      <section>
        <h3 className="pb-1 font-medium">{t`Flows`}</h3>
        <ul>
          {cause.flows.map((each) => (
            <li key={each}>{each}</li>
          ))}
        </ul>
      </section>
      <section>
        <h3 className="pb-1 font-medium">
          <Plural value={cause.instance_count} one="# instance" other="# instances" />
        </h3>
        <ul className="flex flex-col gap-0.5">
          {cause.instances.map((each) => (
            <li key={each.id}>
              <Link to="/executions" search={{ ...all, instance: each.id }} className="link">
                {each.customer_name ?? each.id} {each.name !== null && `/ ${each.name}`}
              </Link>
            </li>
          ))}
          {cause.instance_count > cause.instances.length && (
            <li className="text-muted-foreground">
              <Trans>and {cause.instance_count - cause.instances.length} more</Trans>
            </li>
          )}
        </ul>
      </section>
    </div>
  )
}

function narrowed({ customer, integration, flow, since }: FailureFilter): Where {
  return { customer, integration, flow, since }
}
