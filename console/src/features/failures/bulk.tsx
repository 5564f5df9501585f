import { t } from "@lingui/core/macro"
import { Plural, Trans } from "@lingui/react/macro"
import { useMutation, useQuery, useQueryClient, type UseQueryResult } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { useEffect, useState } from "react"
import { type Bulk, bulkQuery, shownState, turnBulk } from "~/api/bulks"
import { answerOf, api, type Schemas } from "~/api/client"
import { plain } from "~/features/executions/columns"
import { type Filter, queryOf } from "~/features/executions/filter"
import { useSession } from "~/features/session/context"
import { moved, useRenewal } from "~/features/session/renewal"
import { Button, buttonClass } from "~/ui/button"
import { Confirm } from "~/ui/confirm"
import { Dialog } from "~/ui/dialog"
import { Choice, Field, Input, Select } from "~/ui/field"
import { ErrorNotice, FormError, Loading, Pending } from "~/ui/notice"
import { Progress } from "~/ui/progress"
import { type AnyState, StateBadge } from "~/ui/state"
import { Time } from "~/ui/time"
import { toast } from "~/ui/toast"

export type Verb = "replay" | "dismiss"
type Draft = Schemas["BulkDraft"]
type Plan = Schemas["PlanView"]

/** Which executions a bulk is about. */
export type Where = Pick<Filter, "customer" | "integration" | "flow" | "since" | "cause">

const RENEW_MS = 300

/** Show the plan of a bulk, begin it, and show its progress until it has ended. */
export function BulkDialog({
  verb,
  where,
  onClose,
}: {
  verb: Verb
  where: Where
  onClose: () => void
}) {
  const [bulk, setBulk] = useState<string | null>(null)
  const title = verb === "replay" ? t`Replay all` : t`Dismiss all`
  if (bulk !== null) return <Begun id={bulk} title={title} onClose={onClose} />
  return <Planned verb={verb} where={where} title={title} onClose={onClose} onBegun={setBulk} />
}

function Planned({
  verb,
  where,
  title,
  onClose,
  onBegun,
}: {
  verb: Verb
  where: Where
  title: string
  onClose: () => void
  onBegun: (bulk: string) => void
}) {
  const [from, setFrom] = useState<"" | "start">("")
  const [version, setVersion] = useState("")
  const [rate, setRate] = useState("")
  const [again, setAgain] = useState(false)
  const [repeat, setRepeat] = useState(false)
  const per = rate.trim() === "" ? null : Number(rate)
  const rateError = per !== null && !(per > 0) ? t`a number of executions a second` : null

  // What counts from now counts from one now, in the plan and in what is done.
  const [now] = useState(() => Date.now())

  const draft = (dry_run: boolean): Draft => {
    const { since, ...rest } = queryOf(where, now)
    return {
      do: verb,
      where: { ...rest, state: "failed", ...(since === undefined ? {} : { since }) },
      dry_run,
      rate: rateError === null ? per : null,
      from: from === "" ? null : from,
      version: version === "" ? null : version,
      again,
      repeat,
    } as Draft
  }
  const plan = useQuery({
    queryKey: ["plan", verb, where, from, version, again, repeat],
    gcTime: 0,
    queryFn: async ({ signal }): Promise<Plan> =>
      (await answerOf(api.POST("/api/bulks", { body: draft(true), signal }))) as Plan,
  })
  const begin = useMutation({
    mutationFn: async () =>
      (await answerOf(api.POST("/api/bulks", { body: draft(false) }))) as Bulk,
    onSuccess: (made) => onBegun(made.id),
  })
  return (
    <Dialog
      title={title}
      wide
      onClose={onClose}
      onSubmit={() => rateError === null && begin.mutate()}
      footer={
        <>
          <Button onClick={onClose}>{t`Close`}</Button>
          <Button
            type="submit"
            look={verb === "replay" ? "primary" : "danger"}
            busy={begin.isPending}
            disabled={plan.data === undefined || plan.data.total <= leftOut(plan.data)}
          >
            {verb === "replay" ? t`Replay` : t`Dismiss`} {plan.data?.total.toLocaleString()}
          </Button>
        </>
      }
    >
      {plan.isError && <ErrorNotice error={plan.error} retry={() => void plan.refetch()} />}
      {plan.isPending && <Loading lines={4} />}
      {plan.data !== undefined && <PlanSummary plan={plan.data} />}
      {verb === "replay" && (
        <div className="flex flex-col gap-3">
          <div className="grid gap-3 sm:grid-cols-3">
            <Field label={t`From where`}>
              {(control) => (
                <Select
                  {...control}
                  value={from}
                  onChange={(e) => setFrom(e.target.value === "start" ? "start" : "")}
                >
                  <option value="">{t`the failed step`}</option>
                  <option value="start">{t`the start`}</option>
                </Select>
              )}
            </Field>
            <Field label={t`Version`}>
              {(control) => (
                <Select {...control} value={version} onChange={(e) => setVersion(e.target.value)}>
                  <option value="">{t`as the instance has it`}</option>
                  <option value="same">{t`each its own`}</option>
                </Select>
              )}
            </Field>
            <Field label={t`At most a second`} error={rateError}>
              {(control) => (
                <Input
                  {...control}
                  inputMode="decimal"
                  placeholder={t`no limit`}
                  value={rate}
                  onChange={(e) => setRate(e.target.value)}
                />
              )}
            </Field>
          </div>
          <Choice
            checked={again}
            onChange={(e) => setAgain(e.target.checked)}
            label={t`Also those that were replayed since, or after which newer events of their order have run`}
          />
          <Choice
            checked={repeat}
            onChange={(e) => setRepeat(e.target.checked)}
            label={t`Also those whose last request may have been carried out: send it again`}
          />
        </div>
      )}
      {verb === "dismiss" && (
        <p className="text-muted-foreground">
          {t`Dismissing runs nothing: they leave the failures, as dealt with, and what waits behind them in its order goes on. They stay among the executions as failed, as long as the retention says, where each can still be replayed.`}
        </p>
      )}
      <FormError error={begin.error} />
    </Dialog>
  )
}

/** Return how many of those that were looked at would be left out. */
export const leftOut = ({ left_out }: Pick<Plan, "left_out">): number =>
  left_out.reduce((sum, each) => sum + each.count, 0)

function PlanSummary({ plan }: { plan: Plan }) {
  const left = leftOut(plan)
  return (
    <section aria-label={t`Plan`} className="flex flex-col gap-2">
      <p className="text-base">
        <Plural value={plan.total} one="# execution is meant." other="# executions are meant." />{" "}
        {left > 0 &&
          (plan.examined < plan.total
            ? t`Of the first ${plan.examined.toLocaleString()}, ${left.toLocaleString()} would be left out.`
            : t`${left.toLocaleString()} of them would be left out.`)}
      </p>
      {plan.groups.length > 0 && (
        <ul className="max-h-40 overflow-auto rounded-md border">
          {plan.groups.map((each, at) => (
            <li key={at} className="flex gap-3 border-b border-border/60 px-3 py-1 last:border-0">
              <span className="figures w-12 shrink-0 text-right font-medium">
                {each.count.toLocaleString()}
              </span>
              <span className="shrink-0">{each.customer_name ?? each.customer}</span>
              <span className="shrink-0 text-muted-foreground">{each.flow}</span>
              <span className="min-w-0 truncate text-muted-foreground" title={each.reason}>
                {plain(each.reason)}
              </span>
            </li>
          ))}
        </ul>
      )}
      <Unmended found={plan.unmended} />
      {plan.left_out.map((each) => (
        <p key={each.why} className="text-waiting">
          {each.count.toLocaleString()}: {each.why}
        </p>
      ))}
      {plan.overwrites.map((each) => (
        <p key={`${each.integration} ${each.flow}`} className="text-waiting">
          <Trans>
            “{each.flow}” does not compare an event with what the app has now: {each.count} older
            events would be written over what is newer there.
          </Trans>
        </p>
      ))}
      {plan.changed > 0 && (
        <p className="text-muted-foreground">
          <Trans>{plan.changed} of them go on with another version or config.</Trans>
        </p>
      )}
    </section>
  )
}

/** Warns of connections that do not work now, since the replays would come to the same. */
function Unmended({ found }: { found: Plan["unmended"] }) {
  if (found.length === 0) return null
  const why = {
    unauthorized: t`the app refused its credentials, and it was not connected again since`,
    not_signed_in: t`nobody has signed in to it`,
    away: t`its app does not answer`,
  }
  return (
    <section
      aria-label={t`Connections that are not mended`}
      className="flex flex-col gap-1 rounded-md border border-waiting/40 p-3"
    >
      <h3 className="font-medium text-waiting">
        {t`Not mended yet: what needs these connections would fail or wait again`}
      </h3>
      <ul className="flex max-h-40 flex-col gap-1 overflow-auto">
        {found.map((each) => (
          <li key={each.connection} className="wrap-anywhere">
            <Link to="/connections" search={{ open: each.connection }} className="link underline">
              {each.name}
            </Link>{" "}
            {each.customer_name !== null && <>({each.customer_name}) </>}
            {why[each.why]}
            {each.since !== null && (
              <Trans>
                {" "}
                since <Time at={each.since} />
              </Trans>
            )}
            {each.failed_at !== null && (
              <Trans>
                ; last failure <Time at={each.failed_at} />
              </Trans>
            )}
            {each.parked > 0 && (
              <>
                {"; "}
                <Plural value={each.parked} one="# execution waits" other="# executions wait" />
              </>
            )}
          </li>
        ))}
      </ul>
    </section>
  )
}

/** A bulk, renewed as the stream tells of it. */
export function useBulk(id: string): UseQueryResult<Bulk> {
  const client = useQueryClient()
  useRenewal(["bulk", id], RENEW_MS, (news) => news.kind === "changes" || moved(news, "bulks"))
  const bulk = useQuery(bulkQuery(id))
  const state = bulk.data?.state
  useEffect(() => {
    if (state !== undefined && state !== "running") {
      void client.invalidateQueries({ queryKey: ["causes"] })
    }
  }, [state, client])
  return bulk
}

/** What may be done with a bulk: let it stand still, go on, end. */
export function BulkTurns({ bulk }: { bulk: Bulk }) {
  const { can } = useSession()
  const client = useQueryClient()
  const [ending, setEnding] = useState(false)
  const turn = useMutation({
    mutationFn: (what: "pause" | "resume" | "cancel") => turnBulk(bulk.id, what),
    onError: (error) => toast(t`It stays as it is`, error.message),
    onSettled: () => {
      void client.invalidateQueries({ queryKey: ["bulk", bulk.id] })
      void client.invalidateQueries({ queryKey: ["bulks"] })
    },
  })
  const busy = (what: string) => turn.isPending && turn.variables === what
  const { state } = bulk
  return (
    <>
      {can("operate") && state === "running" && (
        <Button busy={busy("pause")} onClick={() => turn.mutate("pause")}>{t`Pause`}</Button>
      )}
      {can("operate") && state === "paused" && (
        <Button look="primary" busy={busy("resume")} onClick={() => turn.mutate("resume")}>
          {t`Go on`}
        </Button>
      )}
      {can("operate") && (state === "running" || state === "paused") && (
        <Button onClick={() => setEnding(true)}>{t`End it early…`}</Button>
      )}
      {ending && (
        <Confirm
          title={t`End it early`}
          verb={t`End it`}
          danger
          onConfirm={() => turn.mutateAsync("cancel")}
          onClose={() => setEnding(false)}
        >
          <Trans>
            {(bulk.total - bulk.done - bulk.refused).toLocaleString()} are left as they are, and it
            cannot go on. Pause it to look first.
          </Trans>
        </Confirm>
      )}
      {bulk.do === "replay" && (
        <Link to="/executions" search={{ bulk: bulk.id }} className={buttonClass()}>
          {t`Show its replays`}
        </Link>
      )}
    </>
  )
}

function Begun({ id, title, onClose }: { id: string; title: string; onClose: () => void }) {
  const bulk = useBulk(id)
  return (
    <Dialog
      title={title}
      onClose={onClose}
      footer={
        <>
          {bulk.data !== undefined && <BulkTurns bulk={bulk.data} />}
          <Button look="primary" onClick={onClose}>{t`Close`}</Button>
        </>
      }
    >
      {bulk.data !== undefined ? (
        <BulkProgress bulk={bulk.data} />
      ) : (
        <Pending of={bulk} lines={2} />
      )}
      <p className="text-muted-foreground">
        {bulk.data?.ended_at == null && t`It goes on if you close this.`}{" "}
        <Trans>
          <Link to="/failures/bulks" search={{ open: id }} className="link">
            All bulks
          </Link>{" "}
          lists it.
        </Trans>
      </p>
    </Dialog>
  )
}

/** Say how many a bulk has replayed, and how many of these failed again so far. */
export function endOf({ done, started }: Pick<Bulk, "done" | "started">): string {
  const failed = started.failed ?? 0
  return failed === 0
    ? t`${done.toLocaleString()} replayed`
    : t`${done.toLocaleString()} replayed, ${failed.toLocaleString()} failed again`
}

/** How far a bulk has come, what was refused, and what became of what it started. */
export function BulkProgress({ bulk }: { bulk: Bulk }) {
  const come = bulk.done + bulk.refused
  return (
    <div className="flex flex-col gap-3">
      <div className="flex items-center gap-2">
        <StateBadge state={shownState(bulk.state)} />
        <span className="figures" aria-live="polite">
          <Trans>
            {come.toLocaleString()} of {bulk.total.toLocaleString()}
          </Trans>
        </span>
        {bulk.do === "replay" && bulk.ended_at !== null && <span>{endOf(bulk)}</span>}
      </div>
      <Progress value={come} max={bulk.total} />
      {bulk.refused > 0 && (
        <details open>
          <summary className="cursor-pointer text-waiting">
            <Plural value={bulk.refused} one="# was refused" other="# were refused" />
          </summary>
          <ul className="mt-1 flex flex-col gap-1">
            {bulk.refusals.map((each) => (
              <li key={each.id} className="break-words">
                {each.id.startsWith("exe_") ? (
                  <Link
                    to="/executions/$execution"
                    params={{ execution: each.id }}
                    className="link"
                  >
                    <code>{each.id}</code>
                  </Link>
                ) : (
                  <code>{each.id}</code>
                )}{" "}
                {each.why}
              </li>
            ))}
          </ul>
        </details>
      )}
      {Object.entries(bulk.started).length > 0 && (
        <ul className="flex flex-wrap gap-2" aria-label={t`Its replays`}>
          {Object.entries(bulk.started).map(([each, count]) => (
            <li key={each} className="inline-flex items-center gap-1">
              <StateBadge state={each as AnyState} /> {count.toLocaleString()}
            </li>
          ))}
        </ul>
      )}
      {bulk.reason !== "" && <p>{bulk.reason}</p>}
    </div>
  )
}
