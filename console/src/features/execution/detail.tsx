import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useInfiniteQuery, useQuery } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { lazy, type ReactNode, Suspense, useEffect } from "react"
import {
  type Execution,
  executionQuery,
  isOver,
  logsQuery,
  outlineQuery,
  stepsQuery,
} from "~/api/execution"
import { useSession } from "~/features/session/context"
import { useRenewal } from "~/features/session/renewal"
import { Id } from "~/ui/copy"
import { Code } from "~/ui/json"
import { ErrorNotice, Loading } from "~/ui/notice"
import { StateBadge } from "~/ui/state"
import { Tabs } from "~/ui/tabs"
import { Since, Time } from "~/ui/time"
import { Actions } from "./actions"
import { editedBy, EditedMark } from "./edited"
import { Facts } from "./facts"
import { Lineage } from "./lineage"
import { Linked } from "./linked"
import { Logs } from "./logs"
import { failureText, isOfItsCode, lengthsOf, sentenceOf } from "./sentence"
import { Steps } from "./steps"
import { failedItems } from "./tree"

const FlowDrawing = lazy(async () => ({ default: (await import("./drawing")).FlowDrawing }))

/** What is looked at of an execution; it lives in the URL. */
export type Place = { view?: string; step?: string; tab?: string }

/** The props of what shows a place, and leads to others. */
export type PlaceProps = { place: Place; onPlace: (place: Place) => void }

const RENEW_MS = 1_000

/** An execution: its state, why, what to do, and what each step did. */
export function ExecutionDetail({ id, place, onPlace }: PlaceProps & { id: string }) {
  const { live } = useSession()
  useRenewal(
    ["execution", id],
    RENEW_MS,
    (news) =>
      (news.kind === "changes" && news.changes.some((each) => each.execution === id)) ||
      (news.kind === "moved" && news.topics.includes(`steps:${id}`)),
  )
  const query = useQuery(executionQuery(id))
  const found = query.data !== undefined
  // The one stream of all tabs is refused where one asks for an execution that is not there.
  useEffect(() => (found ? live.watch(`steps:${id}`) : undefined), [live, id, found])
  if (query.data !== undefined)
    return <Loaded execution={query.data} place={place} onPlace={onPlace} />
  if (query.isError) return <ErrorNotice error={query.error} retry={() => void query.refetch()} />
  return <Loading lines={10} />
}

function Loaded({ execution, place, onPlace }: PlaceProps & { execution: Execution }) {
  const logs = useQuery(logsQuery(execution.id))
  const related = execution.lineage.length - 1 + execution.children.length
  return (
    <article className="@container flex min-w-0 flex-col">
      <Header execution={execution} place={place} onPlace={onPlace} />
      <Tabs
        label={t`Parts of the execution`}
        selected={place.view}
        onSelect={(view) => onPlace({ ...place, view })}
        tabs={[
          {
            key: "steps",
            label: t`Steps`,
            count: execution.step_count,
            content: () => <Steps execution={execution} place={place} onPlace={onPlace} />,
          },
          {
            key: "drawing",
            label: t`Drawing`,
            content: () => (
              <Suspense fallback={<Loading />}>
                <FlowDrawing
                  execution={execution}
                  onStep={(step) => onPlace({ view: "steps", step })}
                />
              </Suspense>
            ),
          },
          {
            key: "logs",
            label: t`Logs`,
            count: logs.data?.length,
            content: () => <Logs execution={execution.id} query={logs} />,
          },
          {
            key: "lineage",
            label: t`Lineage`,
            count: Math.max(0, related),
            content: () => <Lineage execution={execution} />,
          },
          { key: "details", label: t`Details`, content: () => <Facts execution={execution} /> },
        ]}
      />
    </article>
  )
}

function Header({ execution, place, onPlace }: PlaceProps & { execution: Execution }) {
  const { state, failure, flow, integration } = execution
  const over = isOver(state)
  const query = useInfiniteQuery(stepsQuery(execution.id))
  const failed = (query.data ?? []).filter((each) => each.status === "failed")
  const counted = query.data !== undefined && !query.hasNextPage ? failed.length : undefined
  const [first] = failed
  const outline = useQuery({ ...outlineQuery(execution.id), enabled: state === "succeeded" })
  const items = failedItems(outline.data)
  const known = counted !== undefined && !outline.isPending
  const way = items?.key ?? first?.path
  // A flow that caught a failure may wait for a try of its own, as the delivery of a webhook does.
  const caught = failed.at(-1)
  return (
    <header className="flex flex-col gap-3 px-4 pt-4 pb-3">
      <div className="flex flex-wrap items-start justify-between gap-x-4 gap-y-2">
        <div className="min-w-0">
          <div className="flex flex-wrap items-center gap-2">
            <StateBadge state={state} dim={execution.dismissed} />
            <h1 className="min-w-0 text-lg font-semibold break-words">{flow}</h1>
            {execution.edited_by !== null && <EditedMark by={execution.edited_by} />}
            {execution.key !== null && (
              <Part title={t`Record`}>
                <Link to="/executions" search={{ key: execution.key }} className="link break-all">
                  {execution.key}
                </Link>
              </Part>
            )}
          </div>
          <div className="mt-1 flex flex-wrap items-center gap-x-3 gap-y-0.5 text-muted-foreground">
            <Link to="/executions" search={{ customer: execution.customer }} className="link">
              {execution.customer_name ?? execution.customer}
            </Link>
            <span>
              {integration} {execution.version.number !== null && `v${execution.version.number}`}
            </span>
            <Time at={execution.accepted_at} zoned />
            {over ? (
              <span className="figures">{lengthsOf(execution)}</span>
            ) : (
              <span>
                <Trans>
                  since <Since at={execution.accepted_at} />
                </Trans>
              </span>
            )}
            <Id id={execution.id} />
          </div>
        </div>
        <Actions execution={execution} />
      </div>
      <p className="text-base break-words" data-testid="why">
        <Linked text={sentenceOf(execution, known ? counted : undefined, items)} />
        {state === "succeeded" && execution.reason === "" && way !== undefined && (
          <>
            {" "}
            <button
              type="button"
              className="link"
              onClick={() => onPlace({ ...place, view: "steps", step: way })}
            >
              {items === null ? t`Show the first that failed` : t`Show them`}
            </button>
          </>
        )}
      </p>
      {execution.edited_by !== null && (
        <p className="text-waiting">
          <span className="inline-block first-letter:uppercase">{editedBy(execution)}</span>
          {": "}
          <button
            type="button"
            className="link"
            onClick={() => onPlace({ view: "steps", step: "trigger" })}
          >
            {t`what differs from the event that came`}
          </button>
        </p>
      )}
      {state === "failed" && failure !== null && isOfItsCode(failure) && (
        <section aria-label={t`Fault in the flow’s code`} className="flex flex-col gap-2">
          <p className="break-all text-muted-foreground">
            <Trans>
              In the flow’s own code: <code>{failure.where}</code>
            </Trans>
          </p>
          <Code text={failure.trace} label={t`Trace`} />
        </section>
      )}
      {failure?.in_doubt === true && state === "failed" && (
        <p className="rounded-md border border-waiting/40 px-3 py-2 text-waiting">
          {failure.status === null ? (
            <Trans>
              Its last request may have been carried out: there was no whole answer. Look at the app
              before you replay it.
            </Trans>
          ) : (
            <Trans>
              Its last request may have been carried out: the answer {failure.status} does not say.
              Look at the app before you replay it.
            </Trans>
          )}
        </p>
      )}
      {!over && failure !== null && (
        <p className="text-muted-foreground">
          <Trans>The last attempt failed: {failureText(failure)}</Trans>
        </p>
      )}
      {!over && failure === null && caught?.failure != null && (
        <p className="text-muted-foreground">
          <Trans>
            “{caught.title || caught.name}” failed: {failureText(caught.failure)}
          </Trans>
        </p>
      )}
      {execution.payload_removed && (
        <p className="text-muted-foreground">
          <Trans>
            Its payload was removed, as its retention says: it cannot be replayed any more.
          </Trans>
        </p>
      )}
    </header>
  )
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <span className="inline-flex min-w-0 items-baseline gap-1">
      <span className="text-muted-foreground">{title}</span>
      {children}
    </span>
  )
}
