import { t } from "@lingui/core/macro"
import { Plural } from "@lingui/react/macro"
import { useQuery } from "@tanstack/react-query"
import { useState } from "react"
import { answerOf, api } from "~/api/client"
import { faultOf, pretty } from "~/api/exact"
import { useSession } from "~/features/session/context"
import { useDraft } from "~/features/session/draft"
import { Button } from "~/ui/button"
import { Dialog } from "~/ui/dialog"
import { Choice, Field, Input, Select, Textarea } from "~/ui/field"
import { Pending } from "~/ui/notice"
import { StateBadge } from "~/ui/state"
import { Time } from "~/ui/time"
import { pagesOf } from "../config/schema"
import { parseDigits } from "../draft/digits"
import type { DraftHandle } from "../draft/handle"
import type { FlowOutline } from "../draft/types"
import { isObject, type Json, plainJson } from "../fields/model"
import { useScope } from "../fields/scope"
import { titleOf } from "../frame/words"
import { memberEdits } from "../panel/edits"
import { useDraftValue } from "../panel/queries"
import { spotOf, stepsOf } from "../tree/walk"
import type { Runs } from "./context"
import {
  obstacleOf,
  RealConfirmation,
  useDevelopment,
  useMayActReally,
  useRealConfirmed,
} from "./development"
import { Listen } from "./listen"
import { usePins } from "./pins"

type Typed = {
  from: "sample" | "execution"
  text: string | null
  execution: string
  signals: string
  config: string
}

/** With what a flow is tested: an event by the trigger's schema, which may be edited, or a recorded one. */
export function TestDialog({
  draft,
  flow,
  runs,
  onDevelopment,
  onClose,
}: {
  draft: DraftHandle
  flow: FlowOutline
  runs: Runs
  onDevelopment: () => void
  onClose: () => void
}) {
  const { can } = useSession()
  const mayReally = useMayActReally()
  const [real, setReal] = useState(false)
  const [confirmed, confirm] = useRealConfirmed("flow")
  const [agreed, setAgreed] = useState(false)
  const [unpinned, setUnpinned] = useState<readonly string[]>([])
  const development = useDevelopment(draft).data
  const obstacle = obstacleOf(development)
  const [last] = useState(() => runs.last())
  const { now, change } = useDraft<Typed>(`event:${draft.id}:${flow.name}`, {
    from: last?.execution != null ? "execution" : "sample",
    text: last?.event ?? null,
    execution: last?.execution ?? "",
    signals: last?.signals ?? "",
    config: last?.config ?? "",
  })
  const written = useWritten(draft, flow)
  const made = useMadeUp(draft, flow)
  const text = now.text ?? (made === undefined ? "" : pretty(made))
  const edited = now.text !== null
  const wrong = edited ? wrongJson(text) : null
  const waits = flow.steps.length > 0 && draft.text.includes("wait:")
  const wrongSignals = now.signals.trim() === "" ? null : wrongObject(now.signals)
  const wrongConfig = now.config.trim() === "" ? null : wrongObject(now.config)
  const bySample = now.from === "sample"
  const hasEvent = bySample ? wrong === null : now.execution !== ""
  const chosen = hasEvent && wrongSignals === null && wrongConfig === null
  const ready = chosen && (!real || (obstacle === null && (confirmed || agreed)))
  const go = () => {
    if (!ready) return
    if (real) confirm()
    onClose()
    runs.start({
      flow: flow.name,
      event: bySample && edited ? text : null,
      execution: bySample ? null : now.execution,
      signals: now.signals,
      config: now.config,
      effects: real ? "real" : "stubbed",
      unpinned: real ? unpinned : [],
    })
  }
  return (
    <Dialog
      title={t`Test ${flow.title}`}
      wide
      onClose={onClose}
      onSubmit={go}
      footer={
        <>
          <Button onClick={onClose}>{t`Back`}</Button>
          <Button type="submit" look="primary" disabled={!ready}>
            {t`Run the test`}
          </Button>
        </>
      }
    >
      <p className="text-muted-foreground">
        {real
          ? t`It runs on the real engine. Actions without a pin are called once, with the config and the connections of the development instance. Nothing of the run is kept but what the apps did.`
          : t`It runs on the real engine. Apps are not called: an action answers what is pinned, what was recorded, or a sample.`}
      </p>
      <fieldset className="flex flex-col gap-2">
        <legend className="pb-1 text-xs font-medium">{t`The event`}</legend>
        <Choice
          type="radio"
          name="from"
          label={t`An event by the trigger’s schema`}
          hint={t`Made up, and yours to edit.`}
          checked={bySample}
          onChange={() => change({ from: "sample" })}
        />
        {can("payloads") && (
          <Choice
            type="radio"
            name="from"
            label={t`The event of an execution`}
            hint={
              real
                ? t`Its state comes with it. What its steps answered does not.`
                : t`What its steps answered, its config and its state come with it.`
            }
            checked={!bySample}
            onChange={() => change({ from: "execution" })}
          />
        )}
      </fieldset>
      {bySample && written.tests.length > 0 && (
        <Field label={t`Begin with the event of`}>
          {(control) => (
            <Select
              {...control}
              value={edited ? String(written.tests.findIndex((each) => each.event === text)) : ""}
              onChange={(event) => {
                const test = written.tests[Number(event.target.value)]
                if (event.target.value === "" || test === undefined) change({ text: null })
                else change({ text: test.event, signals: test.signals, config: test.config })
              }}
            >
              <option value="">{t`the flow’s sample, or made up`}</option>
              <option value="-1" hidden>{t`what is written below`}</option>
              {written.tests.map((each, at) => (
                <option key={at} value={at}>
                  {t`the test “${each.name}”`}
                </option>
              ))}
            </Select>
          )}
        </Field>
      )}
      {bySample ? (
        <Field
          label={t`Event, as JSON`}
          error={wrong}
          hint={
            edited ? (
              <span className="flex gap-3">
                <button type="button" className="link" onClick={() => change({ text: null })}>
                  {t`Take the made-up one`}
                </button>
                {written.keep !== null && wrong === null && (
                  <button
                    type="button"
                    className="link"
                    onClick={() => {
                      void written.keep?.(text).then((made) => made && change({ text: null }))
                    }}
                  >
                    {t`Keep it as the flow’s sample`}
                  </button>
                )}
              </span>
            ) : isBody(flow) ? (
              t`The body of the request.`
            ) : (
              t`As the flow’s steps see it. What you write in its place is the body of the request that the trigger reads.`
            )
          }
        >
          {(control) => (
            <Textarea
              {...control}
              rows={12}
              value={text}
              onChange={(event) => change({ text: event.target.value })}
            />
          )}
        </Field>
      ) : (
        <>
          <Recorded
            draft={draft}
            flow={flow}
            chosen={now.execution}
            onChoose={(execution) => change({ execution })}
          />
          <Listen
            draft={draft.id}
            flow={flow.name}
            development={development}
            onEvent={(execution) => change({ execution })}
          />
        </>
      )}
      {mayReally && (
        <fieldset className="flex flex-col gap-2">
          <legend className="pb-1 text-xs font-medium">{t`Effects`}</legend>
          <Choice
            type="radio"
            name="effects"
            label={t`Stubbed`}
            hint={t`No app is called.`}
            checked={!real}
            onChange={() => setReal(false)}
          />
          <Choice
            type="radio"
            name="effects"
            label={t`Real`}
            hint={
              obstacle ?? t`The apps of the development instance are called, in this run alone.`
            }
            checked={real}
            disabled={obstacle !== null}
            onChange={() => setReal(true)}
          />
          {real && <PinsInForce draft={draft} flow={flow} left={unpinned} onLeave={setUnpinned} />}
          {real && !confirmed && <RealConfirmation checked={agreed} onChange={setAgreed} />}
          {development !== undefined && obstacle !== null && (
            <div>
              <Button onClick={onDevelopment}>{t`Development instance…`}</Button>
            </div>
          )}
        </fieldset>
      )}
      {(written.takesConfig || now.config !== "") && (
        <Field
          label={t`Values of the config, as JSON`}
          hint={t`By name. What is left out is the execution’s, the default, or made up.`}
          error={wrongConfig}
        >
          {(control) => (
            <Textarea
              {...control}
              rows={2}
              value={now.config}
              onChange={(event) => change({ config: event.target.value })}
            />
          )}
        </Field>
      )}
      {waits && (
        <Field
          label={t`Signals that it gets while it waits, as JSON`}
          hint={t`By name: {"decision": {"choice": "approve"}}. Without one, its time runs out.`}
          error={wrongSignals}
        >
          {(control) => (
            <Textarea
              {...control}
              rows={2}
              value={now.signals}
              onChange={(event) => change({ signals: event.target.value })}
            />
          )}
        </Field>
      )}
    </Dialog>
  )
}

type Written = {
  /** The document's tests of the flow that have an event; each part as JSON. */
  tests: { name: string; event: string; signals: string; config: string }[]
  /** True if customers fill in a value. */
  takesConfig: boolean
  /** Write an event into the document as the sample of the flow's events; null where that cannot be. */
  keep: ((event: string) => Promise<boolean>) | null
}

/** What the document has for runs of a flow. */
function useWritten(draft: DraftHandle, flow: FlowOutline): Written {
  const document = useDraftValue(draft, []).data
  const held = isObject(document) ? document : {}
  const tests = Array.isArray(held["tests"]) ? held["tests"].filter(isObject) : []
  const json = (value: Json | undefined) => (value === undefined ? "" : pretty(plainJson(value)))
  const flows = isObject(held["flows"]) ? held["flows"] : {}
  const own = flows[flow.name]
  return {
    tests: tests
      .filter((each) => each["flow"] === flow.name && each["event"] !== undefined)
      .map((each) => ({
        name: typeof each["name"] === "string" ? each["name"] : "",
        event: json(each["event"]),
        signals: json(each["signals"]),
        config: json(each["config"]),
      })),
    takesConfig: pagesOf(held["config"]).some((page) =>
      page.fields.some((field) => field.held["connection"] === undefined),
    ),
    keep:
      draft.readOnly || !isObject(own) || !isBody(flow)
        ? null
        : async (event) => {
            const path = ["flows", flow.name]
            const value = parseDigits(event) as Json
            return (await draft.edit(memberEdits(path, own, "sample", value, BEFORE_SAMPLE))).made
          },
  }
}

const BEFORE_SAMPLE = ["title", "description", "trigger", "with", "schema", "sample"]

/** The pins that a run uses, in the place of calls, each of which can be left out of it. */
function PinsInForce({
  draft,
  flow,
  left,
  onLeave,
}: {
  draft: DraftHandle
  flow: FlowOutline
  left: readonly string[]
  onLeave: (left: readonly string[]) => void
}) {
  const pins = [...usePins(draft).keys()].flatMap((key) => {
    const spot = spotOf(draft.flows, key)
    return spot === null ? [] : [{ key, spot }]
  })
  if (pins.length === 0) return null
  return (
    <fieldset className="flex flex-col gap-1.5 rounded-md border border-waiting/50 px-3 py-2">
      <legend className="px-1 text-xs font-medium">
        <Plural value={pins.length} one="# pin is in force" other="# pins are in force" />
      </legend>
      <p className="text-xs text-muted-foreground">
        {t`A pinned step is not called: what the flow does really goes on with the pinned answer.`}
      </p>
      {pins.map(({ key, spot }) => (
        <Choice
          key={key}
          label={
            spot.flow.name === flow.name
              ? t`Leave the pin out: ${titleOf(spot.node)}`
              : t`Leave the pin out: ${titleOf(spot.node)} (${spot.flow.title})`
          }
          checked={left.includes(key)}
          onChange={(event) =>
            onLeave(event.target.checked ? [...left, key] : left.filter((each) => each !== key))
          }
        />
      ))}
    </fieldset>
  )
}

const isBody = (flow: FlowOutline) => flow.trigger.startsWith("webhook.")

export function wrongJson(text: string): string | null {
  const fault = faultOf(text)
  return fault === null ? null : t`This is no JSON: ${fault}`
}

function wrongObject(text: string): string | null {
  return wrongJson(text) ?? (text.trim().startsWith("{") ? null : t`It has to be an object.`)
}

/** The event that is made up by the trigger's schema, as JSON. */
export function useMadeUp(draft: DraftHandle, flow: FlowOutline | undefined): string | undefined {
  const scope = useScope(draft, flow === undefined ? [] : [...stepsOf(flow).path, 0])
  return scope.data?.find((each) => each.name === "event")?.sample
}

/** The executions of a flow, to choose one. */
function Recorded({
  draft,
  flow,
  chosen,
  onChoose,
}: {
  draft: DraftHandle
  flow: FlowOutline
  chosen: string
  onChoose: (execution: string) => void
}) {
  const [key, setKey] = useState("")
  const wanted = key.trim()
  const found = useQuery({
    queryKey: ["executions", "of-flow", draft.integration, flow.name, wanted],
    queryFn: ({ signal }) =>
      answerOf(
        api.GET("/api/executions", {
          params: {
            query: {
              integration: draft.integration,
              flow: flow.name,
              limit: 20,
              ...(wanted === "" ? {} : { key: wanted }),
            },
          },
          signal,
        }),
      ),
  })
  const rows = found.data?.items ?? []
  const other = chosen !== "" && !rows.some((each) => each.id === chosen)
  return (
    <div className="flex flex-col gap-2">
      <Field label={t`Find it by its record`}>
        {(control) => (
          <Input
            {...control}
            value={key}
            autoComplete="off"
            onChange={(event) => setKey(event.target.value)}
          />
        )}
      </Field>
      {found.data === undefined ? (
        <Pending of={found} lines={4} />
      ) : rows.length === 0 && !other ? (
        <p className="text-muted-foreground">
          {wanted === ""
            ? t`This flow has not run yet.`
            : t`No execution of this flow has that record.`}
        </p>
      ) : (
        <div
          role="radiogroup"
          aria-label={t`Executions`}
          className="flex max-h-72 flex-col overflow-auto rounded-md border"
        >
          {other && (
            <label className="flex h-9 shrink-0 items-center gap-2 border-b px-2">
              <input type="radio" name="execution" checked readOnly className="accent-primary" />
              <span className="figures truncate">{chosen}</span>
            </label>
          )}
          {rows.map((each) => (
            <label
              key={each.id}
              className="flex h-9 shrink-0 cursor-pointer items-center gap-2 border-b px-2 last:border-b-0 hover:bg-muted"
            >
              <input
                type="radio"
                name="execution"
                className="accent-primary"
                checked={each.id === chosen}
                onChange={() => onChoose(each.id)}
              />
              <StateBadge state={each.state} />
              <span className="min-w-0 flex-1 truncate">{each.key ?? each.reason}</span>
              <span className="truncate text-muted-foreground">
                {each.customer_name ?? each.customer}
              </span>
              <Time at={each.accepted_at} />
            </label>
          ))}
        </div>
      )}
    </div>
  )
}
