import { t } from "@lingui/core/macro"
import { Plural, Trans } from "@lingui/react/macro"
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { useEffect, useState } from "react"
import { answerOf, api, type Schemas } from "~/api/client"
import { plain } from "~/features/executions/columns"
import { type Filter, queryOf } from "~/features/executions/filter"
import { useRenewal } from "~/features/session/renewal"
import { Button, buttonClass } from "~/ui/button"
import { Dialog } from "~/ui/dialog"
import { Choice, Field, Input, Select } from "~/ui/field"
import { ErrorNotice, FormError, Loading } from "~/ui/notice"
import { type AnyState, StateBadge } from "~/ui/state"

export type Verb = "replay" | "dismiss"
type Draft = Schemas["BulkDraft"]
type Plan = Schemas["PlanView"]
type Bulk = Schemas["BulkView"]

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
  if (bulk !== null) return <Progress id={bulk} title={title} onClose={onClose} />
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
            disabled={plan.data === undefined || plan.data.total === 0}
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
      <FormError error={begin.error} />
    </Dialog>
  )
}

function PlanSummary({ plan }: { plan: Plan }) {
  const left = plan.left_out.reduce((sum, each) => sum + each.count, 0)
  return (
    <section aria-label={t`Plan`} className="flex flex-col gap-2">
      <p className="text-base">
        <Plural value={plan.total} one="# execution is meant." other="# executions are meant." />{" "}
        {left > 0 && (
          <Trans>
            Of the first {plan.examined.toLocaleString()}, {left.toLocaleString()} would be left
            out.
          </Trans>
        )}
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
      {plan.left_out.map((each) => (
        <p key={each.why} className="text-waiting">
          {each.count.toLocaleString()}: {each.why}
        </p>
      ))}
      {plan.overwrites.map((each) => (
        <p key={`${each.integration} ${each.flow}`} className="text-waiting">
          <Trans>
            Nothing compares in {each.flow}: {each.count} older events would be written over what
            the app has now.
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

function Progress({ id, title, onClose }: { id: string; title: string; onClose: () => void }) {
  const client = useQueryClient()
  useRenewal(
    ["bulk", id],
    RENEW_MS,
    (news) => news.kind === "changes" || (news.kind === "moved" && news.topics.includes("bulks")),
  )
  const bulk = useQuery({
    queryKey: ["bulk", id],
    queryFn: ({ signal }): Promise<Bulk> =>
      answerOf(api.GET("/api/bulks/{bulk}", { params: { path: { bulk: id } }, signal })),
  })
  const state = bulk.data?.state
  useEffect(() => {
    if (state !== undefined && state !== "running") {
      void client.invalidateQueries({ queryKey: ["causes"] })
    }
  }, [state, client])
  const cancel = useMutation({
    mutationFn: () =>
      answerOf(api.POST("/api/bulks/{bulk}/cancel", { params: { path: { bulk: id } } })),
    onSuccess: () => void bulk.refetch(),
  })
  const now = bulk.data
  const done = now === undefined ? 0 : now.done + now.refused
  return (
    <Dialog
      title={title}
      onClose={onClose}
      footer={
        <>
          {state === "running" && (
            <Button
              busy={cancel.isPending}
              onClick={() => cancel.mutate()}
            >{t`End it early`}</Button>
          )}
          {now?.do === "replay" && (
            <Link to="/executions" search={{ bulk: id }} className={buttonClass()}>
              {t`Show its replays`}
            </Link>
          )}
          <Button look="primary" onClick={onClose}>{t`Close`}</Button>
        </>
      }
    >
      {now === undefined ? (
        bulk.isError ? (
          <ErrorNotice error={bulk.error} />
        ) : (
          <Loading lines={2} />
        )
      ) : (
        <div className="flex flex-col gap-3">
          <div className="flex items-center gap-2">
            <StateBadge state={now.state} />
            <span className="figures" aria-live="polite">
              <Trans>
                {done.toLocaleString()} of {now.total.toLocaleString()}
              </Trans>
            </span>
          </div>
          <progress
            aria-label={t`Progress`}
            value={done}
            max={Math.max(1, now.total)}
            className="h-1.5 w-full accent-primary"
          />
          {now.refused > 0 && (
            <details open>
              <summary className="cursor-pointer text-waiting">
                <Plural value={now.refused} one="# was refused" other="# were refused" />
              </summary>
              <ul className="mt-1 flex flex-col gap-1">
                {now.refusals.map((each) => (
                  <li key={each.id} className="break-words">
                    <code>{each.id}</code> {each.why}
                  </li>
                ))}
              </ul>
            </details>
          )}
          {Object.entries(now.started).length > 0 && (
            <ul className="flex flex-wrap gap-2">
              {Object.entries(now.started).map(([each, count]) => (
                <li key={each} className="inline-flex items-center gap-1">
                  <StateBadge state={each as AnyState} /> {count.toLocaleString()}
                </li>
              ))}
            </ul>
          )}
          {now.reason !== "" && <p>{now.reason}</p>}
        </div>
      )}
    </Dialog>
  )
}
