import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useMutation } from "@tanstack/react-query"
import { FlaskConical, Pin as PinIcon, Play, Zap } from "lucide-react"
import { useState } from "react"
import { answerOf, api, exactBody } from "~/api/client"
import { pretty } from "~/api/exact"
import { sizeOf } from "~/features/execution/value"
import { useSession } from "~/features/session/context"
import { useDraft } from "~/features/session/draft"
import { Button } from "~/ui/button"
import { Confirm } from "~/ui/confirm"
import { Field, Textarea } from "~/ui/field"
import { Code } from "~/ui/json"
import { FormError } from "~/ui/notice"
import { StateBadge } from "~/ui/state"
import { length } from "~/ui/time"
import type { DraftHandle } from "../draft/handle"
import { plainJson } from "../fields/model"
import { useFields } from "../fields/scope"
import type { Spot } from "../tree/walk"
import { type Runs, useRuns } from "./context"
import { RealBadge, useMayActReally, useRealConfirmed } from "./development"
import { wrongJson } from "./dialog"
import { type Pin, usePinning, usePins } from "./pins"
import { keyOf, type Row } from "./rows"
import { Stepper } from "./stepper"
import { givenOf } from "./store"

/** What the step that is selected did in the latest run, and what it answers in the next. */
export function StepResult({ spot }: { spot: Spot }) {
  const { draft } = useFields()
  const runs = useRuns()
  const key = keyOf(spot.node)
  const pin = usePins(draft).get(key) ?? null
  if (runs === null) return null
  const row = runs.over?.rows.get(key) ?? null
  const card = runs.over?.cards.get(key)
  return (
    <div className="flex flex-col gap-4">
      <LoopSteppers spot={spot} runs={runs} />
      {row !== null ? (
        <Outcome row={row} stale={card?.stale === true} />
      ) : (
        <p className="text-muted-foreground">
          {runs.run === null
            ? t`Nothing was run since this draft was opened.`
            : card?.state === "skipped"
              ? t`The run did not come here.`
              : t`The run has not come here.`}
        </p>
      )}
      <div className="flex flex-wrap gap-2">
        <RunAlone key={`run ${key}`} draft={draft} spot={spot} runs={runs} />
        <Button icon={<FlaskConical aria-hidden />} onClick={runs.again}>
          {runs.run === null ? t`Test the flow` : t`Run the flow again`}
        </Button>
      </div>
      {spot.node.kind === "action" && (
        <Pinned key={key} draft={draft} node={key} pin={pin} row={row} />
      )}
    </div>
  )
}

/** Which item of each loop around a step is shown. */
function LoopSteppers({ spot, runs }: { spot: Spot; runs: Runs }) {
  const loops = spot.holders.flatMap((each) => {
    const items = runs.over?.loops.get(keyOf(each))
    return items === undefined ? [] : [{ key: keyOf(each), items }]
  })
  if (loops.length === 0) return null
  return (
    <div className="flex flex-wrap gap-2">
      {loops.map(({ key, items }) => (
        <Stepper
          key={key}
          what={t`Item`}
          at={items.at}
          count={items.count}
          failed={items.failed}
          onAt={(at) => runs.showItem(key, at)}
        />
      ))}
    </div>
  )
}

function Outcome({ row, stale }: { row: Row; stale: boolean }) {
  const state = row.state === "running" ? "waiting" : row.state
  return (
    <section aria-label={t`Result`} className="flex flex-col gap-3">
      <div className="flex flex-wrap items-center gap-2">
        <StateBadge state={state} />
        {row.source !== null && <Source source={row.source} />}
        <span className="figures text-xs text-muted-foreground">{length(row.took_ms)}</span>
      </div>
      {stale && (
        <p className="rounded-md border border-dashed px-2 py-1 text-xs text-muted-foreground">
          {t`It is of an earlier text of the flow: run it again to see what it gives now.`}
        </p>
      )}
      {row.error !== null && (
        <div className="rounded-md border border-failed/40 bg-failed/5 px-3 py-2">
          <p className="break-words text-failed-text">{row.error.message}</p>
          <p className="figures text-xs text-muted-foreground">{row.error.kind}</p>
        </div>
      )}
      {row.gave !== null && <Part title={t`Output`} value={row.gave} />}
      {row.inputs !== null && <Part title={t`Input`} value={row.inputs} />}
      {row.gave === null && row.inputs === null && row.error === null && (
        <p className="text-muted-foreground">{t`It gives no result.`}</p>
      )}
    </section>
  )
}

const SOURCES = {
  pin: () => t`pinned`,
  recorded: () => t`recorded`,
  sample: () => t`a sample`,
  real: () => t`real`,
}

/** Where an answer came from. */
function Source({ source }: { source: NonNullable<Row["source"]> }) {
  return (
    <span className="inline-flex h-5 items-center gap-1 rounded-sm border border-dashed px-1.5 text-xs text-muted-foreground">
      {source === "pin" && <PinIcon aria-hidden className="size-3" />}
      {SOURCES[source]()}
    </span>
  )
}

function Part({ title, value }: { title: string; value: NonNullable<Row["gave"]> }) {
  return (
    <div className="flex flex-col gap-1">
      <h3 className="text-xs font-medium">{title}</h3>
      <Code text={value.cut ? `${value.text}…` : value.text} label={title} />
      {value.cut && (
        <p className="text-xs text-muted-foreground">
          <Trans>The beginning of {sizeOf(value.size)}.</Trans>
        </p>
      )}
    </div>
  )
}

/** Runs the step alone, with what the latest run gave before it. */
function RunAlone({ draft, spot, runs }: { draft: DraftHandle; spot: Spot; runs: Runs }) {
  const { samples } = useFields()
  const { can } = useSession()
  const mayReally = useMayActReally()
  const [confirmed, confirm] = useRealConfirmed("step")
  const [asking, setAsking] = useState(false)
  const { node, flow } = spot
  const key = keyOf(node)
  const run = useMutation({
    mutationFn: async (effects: "stubbed" | "real") => {
      const items = spot.holders.flatMap((each) => {
        const found = runs.over?.loops.get(keyOf(each))
        return found !== undefined ? [found.at] : each.kind === "for" ? [0] : []
      })
      const members = [
        `"node":${JSON.stringify(key)}`,
        `"revision":${draft.revision}`,
        `"scope":${plainJson(samples)}`,
        // The same event, too large to be shown as it may be, and what the trigger and the run know beside it.
        ...(runs.run?.asked.flow === flow.name ? givenOf(runs.run.asked) : []),
        ...(items.length === 0 ? [] : [`"item":${JSON.stringify(items)}`]),
        ...(effects === "real" ? ['"effects":"real"'] : []),
      ]
      return answerOf(
        api.POST("/api/drafts/{draft}/steps/run", {
          params: { path: { draft: draft.id } },
          ...exactBody(`{${members.join(",")}}`),
        }),
      )
    },
    onSuccess: ({ rows }) => {
      const path = JSON.stringify(node.path)
      runs.alone(key, rows.findLast((each) => JSON.stringify(each.path) === path) ?? null)
    },
  })
  if (!can("publish") || flow.preprocess) return null
  const end = run.data?.end
  const refused = end !== undefined && run.data?.rows.length === 0 && end.state !== "succeeded"
  // A later run of the flow takes the place of what this one gave.
  const shown = run.data?.rows.some((each) => each === runs.over?.rows.get(key)) === true
  const disabled = draft.pending > 0 || draft.unreadable !== null
  return (
    <>
      <Button
        icon={<Play aria-hidden />}
        busy={run.isPending && run.variables === "stubbed"}
        disabled={disabled || run.isPending}
        onClick={() => run.mutate("stubbed")}
      >
        {t`Run only this step`}
      </Button>
      {mayReally && (
        <Button
          icon={<Zap aria-hidden />}
          busy={run.isPending && run.variables === "real"}
          disabled={disabled || run.isPending}
          onClick={() => (confirmed ? run.mutate("real") : setAsking(true))}
        >
          {confirmed ? t`Run it for real` : t`Run it for real…`}
        </Button>
      )}
      {shown && run.variables === "real" && (
        <span className="self-center">
          <RealBadge />
        </span>
      )}
      {asking && (
        <Confirm
          title={t`Run this step for real`}
          verb={t`Run it`}
          onClose={() => setAsking(false)}
          onConfirm={() => {
            confirm()
            run.mutate("real")
            return Promise.resolve()
          }}
        >
          <p>
            {t`Actions without a pin, in this step and within it, are called once, with the config and the connections of the development instance. What they do at the apps stays done, and is in the audit log. This is asked once in this tab, and again for a whole flow.`}
          </p>
        </Confirm>
      )}
      {(run.isError || refused) && (
        <div className="order-last w-full">
          {run.isError ? (
            <FormError error={run.error} />
          ) : (
            <p className="break-words text-failed-text">
              {end?.failure?.message ?? end?.reason ?? ""}
            </p>
          )}
        </div>
      )}
    </>
  )
}

/** What a step answers in each run, if that is pinned. */
function Pinned({
  draft,
  node,
  pin,
  row,
}: {
  draft: DraftHandle
  node: string
  pin: Pin | null
  row: Row | null
}) {
  const { can } = useSession()
  const { pin: put, unpin } = usePinning(draft)
  const typed = useDraft<{ text: string | null }>(`pin:${draft.id}:${node}`, { text: null })
  const { text } = typed.now
  const gave = row?.gave != null && !row.gave.cut ? row.gave.text : null
  const save = useMutation({
    mutationFn: (value: string) => put(node, value),
    onSuccess: typed.drop,
  })
  const remove = useMutation({ mutationFn: () => unpin(node) })
  if (!can("payloads") || !can("publish")) return null
  const wrong = text === null ? null : wrongJson(text)
  const edit = () => typed.change({ text: pretty(pin?.value ?? gave ?? "{}") })
  return (
    <section aria-label={t`Pinned answer`} className="flex flex-col gap-2 border-t pt-3">
      <h3 className="flex items-center gap-1.5 text-xs font-medium">
        <PinIcon aria-hidden className="size-3.5" />
        {t`Pinned answer`}
      </h3>
      <p className="text-xs text-muted-foreground">
        {pin === null
          ? t`A pinned answer is given in every test of this draft, for all who edit it.`
          : pin.stale
            ? t`Every test of this draft is given it. The step was edited since it was pinned.`
            : t`Every test of this draft is given it.`}
      </p>
      {text !== null ? (
        <>
          <Field label={t`Answer, as JSON`} error={wrong}>
            {(control) => (
              <Textarea
                {...control}
                rows={8}
                value={text}
                onChange={(event) => typed.change({ text: event.target.value })}
              />
            )}
          </Field>
          <div className="flex flex-wrap gap-2">
            <Button
              look="primary"
              disabled={wrong !== null}
              busy={save.isPending}
              onClick={() => save.mutate(text)}
            >
              {t`Pin it`}
            </Button>
            <Button onClick={typed.drop}>{t`Back`}</Button>
          </div>
        </>
      ) : (
        <>
          {pin !== null && <Code text={pin.value} label={t`Pinned answer`} />}
          <div className="flex flex-wrap gap-2">
            {gave !== null && gave !== pin?.value && (
              <Button busy={save.isPending} onClick={() => save.mutate(gave)}>
                {pin === null ? t`Pin this output` : t`Pin this output instead`}
              </Button>
            )}
            <Button onClick={edit}>{pin === null ? t`Pin another answer…` : t`Edit…`}</Button>
            {pin !== null && (
              <Button look="ghost" busy={remove.isPending} onClick={() => remove.mutate()}>
                {t`Unpin`}
              </Button>
            )}
          </div>
        </>
      )}
      <FormError error={save.error ?? remove.error} />
    </section>
  )
}
