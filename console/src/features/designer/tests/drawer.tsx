import { t } from "@lingui/core/macro"
import { Plural, Trans } from "@lingui/react/macro"
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { FlaskConical, Pencil, Play, Trash2 } from "lucide-react"
import { useState } from "react"
import { answerOf, api, type Schemas } from "~/api/client"
import { pretty } from "~/api/exact"
import { Button, IconButton } from "~/ui/button"
import { cx } from "~/ui/class"
import { Dialog } from "~/ui/dialog"
import { Field, Input, Textarea } from "~/ui/field"
import { FormError, Pending } from "~/ui/notice"
import { StateMark } from "~/ui/state"
import { parseDigits } from "../draft/digits"
import type { DraftHandle } from "../draft/handle"
import type { DraftEdit } from "../draft/types"
import { isObject, type Json, plainJson } from "../fields/model"
import type { Part } from "../frame/part"
import { useDraftValue } from "../panel/queries"
import { type Runs, useRuns } from "../run/context"
import { useMadeUp, wrongJson } from "../run/dialog"
import { expectedTest, testOf, testOfExecution } from "./made"

type Result = Schemas["TestResultView"]
/** Results by the tests' places, each with the revision that it is of. */
type Results = { [at: number]: Result & { revision: number } }
type Written = { [name: string]: Json }

/** The document's tests: run, mended, and made of runs. */
export function TestsDrawer({ draft }: Part) {
  const runs = useRuns()
  const document = useDraftValue(draft, [])
  const [open, setOpen] = useState<{ edit: number } | "make" | null>(null)
  const results = useResults(draft)
  if (document.data === undefined) return <Pending of={document} lines={3} />
  const held = isObject(document.data) ? document.data["tests"] : undefined
  const tests = (Array.isArray(held) ? held : []).map((each) => (isObject(each) ? each : {}))
  const passed = tests.filter((_, at) => results.known[at]?.passed === true).length
  const ran = tests.filter((_, at) => results.known[at] !== undefined).length
  const ready = draft.pending === 0 && draft.unreadable === null && !results.busy
  const edited = open !== null && typeof open === "object" ? tests[open.edit] : undefined
  return (
    <div className="flex h-full min-h-0 flex-col">
      <div className="flex flex-wrap items-center gap-2 border-b px-3 py-1.5">
        <Button
          icon={<Play aria-hidden />}
          disabled={tests.length === 0 || !ready}
          busy={results.busy}
          onClick={() => results.run(null)}
        >
          {t`Run all`}
        </Button>
        {runs?.run != null && !draft.readOnly && (
          <Button icon={<FlaskConical aria-hidden />} onClick={() => setOpen("make")}>
            {t`Make one of the last run…`}
          </Button>
        )}
        <span role="status" className="text-muted-foreground">
          {ran > 0 ? (
            <Trans>
              {passed} of {tests.length} passed
            </Trans>
          ) : (
            <Plural value={tests.length} one="# test" other="# tests" />
          )}
        </span>
        {results.coverage !== null && (
          <span className="text-xs text-muted-foreground">
            <Trans>they ran {results.coverage} % of the document</Trans>
          </span>
        )}
      </div>
      <FormError error={results.error} />
      {tests.length === 0 ? (
        <p className="p-4 text-muted-foreground">
          {t`It has no tests yet. Run a flow and make a test of that run, or of an execution, on its page.`}
        </p>
      ) : (
        <ul aria-label={t`Tests`} className="min-h-0 flex-1 overflow-auto">
          {tests.map((each, at) => (
            <TestLine
              key={at}
              test={each}
              result={results.known[at]}
              stale={results.known[at]?.revision !== draft.revision}
              ready={ready}
              onRun={() => results.run([textOf(each["name"])])}
              {...(draft.readOnly
                ? {}
                : {
                    onEdit: () => setOpen({ edit: at }),
                    onDelete: () => void draft.edit([{ op: "delete", path: ["tests", at] }]),
                  })}
            />
          ))}
        </ul>
      )}
      {edited !== undefined && open !== null && typeof open === "object" && (
        <EditDialog
          key={open.edit}
          draft={draft}
          test={edited}
          at={open.edit}
          onClose={() => setOpen(null)}
        />
      )}
      {open === "make" && runs !== null && (
        <MakeDialog
          draft={draft}
          runs={runs}
          count={tests.length}
          has={Array.isArray(held)}
          onClose={() => setOpen(null)}
        />
      )}
    </div>
  )
}

const textOf = (value: Json | undefined) => (typeof value === "string" ? value : "")

function useResults(draft: DraftHandle) {
  const queries = useQueryClient()
  const key = ["draft", draft.id, "tests-ran"]
  const { data } = useQuery<{ known: Results; coverage: number | null }>({
    queryKey: key,
    enabled: false,
    staleTime: Infinity,
  })
  const run = useMutation({
    mutationFn: (names: string[] | null) =>
      answerOf(
        api.POST("/api/drafts/{draft}/tests", {
          params: { path: { draft: draft.id } },
          body: { names, revision: draft.revision },
        }),
      ),
    onSuccess: ({ items, revision, coverage }, names) => {
      const known = { ...(names === null ? {} : data?.known) }
      for (const each of items) known[each.at] = { ...each, revision }
      queries.setQueryData(key, { known, coverage: names === null ? coverage : null })
    },
  })
  return {
    known: data?.known ?? NONE,
    coverage: data?.coverage ?? null,
    busy: run.isPending,
    error: run.error,
    run: (names: string[] | null) => run.mutate(names),
  }
}

const NONE: Results = {}

function TestLine({
  test,
  result,
  stale,
  ready,
  onRun,
  onEdit,
  onDelete,
}: {
  test: Written
  result: (Result & { revision: number }) | undefined
  stale: boolean
  ready: boolean
  onRun: () => void
  onEdit?: () => void
  onDelete?: () => void
}) {
  const name = textOf(test["name"])
  return (
    <li className="flex items-start gap-2 border-b border-border/60 px-3 py-1">
      <span className="pt-1.5">
        <StateMark state={result === undefined ? null : result.passed ? "succeeded" : "failed"} />
      </span>
      <div className="min-w-0 flex-1 py-1">
        <p className="truncate">
          <span className="font-medium">{name === "" ? t`A test without a name` : name}</span>{" "}
          <span className="text-muted-foreground">{textOf(test["flow"])}</span>
        </p>
        {result !== undefined && !result.passed && (
          <p className={cx("break-words", stale ? "text-muted-foreground" : "text-failed-text")}>
            {result.message}{" "}
            <span className="figures text-xs text-muted-foreground">
              <Trans>line {result.line}</Trans>
            </span>
          </p>
        )}
        {result?.warnings.map((each) => (
          <p key={each} className="break-words text-muted-foreground">
            {each}
          </p>
        ))}
        {result !== undefined && stale && (
          <p className="text-xs text-muted-foreground">{t`of an earlier text`}</p>
        )}
      </div>
      <IconButton name={t`Run “${name}”`} disabled={!ready || name === ""} onClick={onRun}>
        <Play aria-hidden />
      </IconButton>
      {onEdit !== undefined && (
        <IconButton name={t`Edit “${name}”`} onClick={onEdit}>
          <Pencil aria-hidden />
        </IconButton>
      )}
      {onDelete !== undefined && (
        <IconButton name={t`Delete “${name}”`} onClick={onDelete}>
          <Trash2 aria-hidden />
        </IconButton>
      )}
    </li>
  )
}

/** What of a test is edited here: its name, its event and what it expects; the rest is in the YAML. */
function EditDialog({
  draft,
  test,
  at,
  onClose,
}: {
  draft: DraftHandle
  test: Written
  at: number
  onClose: () => void
}) {
  const written = (member: string) =>
    test[member] === undefined ? "" : pretty(plainJson(test[member]))
  const [name, setName] = useState(textOf(test["name"]))
  const [event, setEvent] = useState(written("event"))
  const [answer, setAnswer] = useState(written("answer"))
  const [reason, setReason] = useState(textOf(test["reason"]))
  const wrong = (text: string) => (text.trim() === "" ? null : wrongJson(text))
  const fails = test["outcome"] !== undefined && test["outcome"] !== "succeeded"
  const save = useMutation({
    mutationFn: async () => {
      const ops: DraftEdit[] = []
      const put = (member: string, text: string, before: string, value: () => unknown) => {
        if (text.trim() === before.trim()) return
        const path = ["tests", at, member]
        ops.push(text.trim() === "" ? { op: "delete", path } : { op: "set", path, value: value() })
      }
      put("name", name, textOf(test["name"]), () => name)
      put("event", event, written("event"), () => parseDigits(event))
      if (fails) put("reason", reason, textOf(test["reason"]), () => reason)
      else put("answer", answer, written("answer"), () => parseDigits(answer))
      if (ops.length === 0) return
      const outcome = await draft.edit(ops)
      if (!outcome.made) throw outcome.error
    },
    onSuccess: onClose,
  })
  const bad = wrong(event) ?? wrong(answer) ?? (name.trim() === "" ? t`It needs a name.` : null)
  return (
    <Dialog
      title={t`Edit the test`}
      wide
      onClose={onClose}
      onSubmit={() => bad === null && save.mutate()}
      footer={
        <>
          <Button onClick={onClose}>{t`Back`}</Button>
          <Button type="submit" look="primary" disabled={bad !== null} busy={save.isPending}>
            {t`Save the test`}
          </Button>
        </>
      }
    >
      <Field label={t`Name`} error={name.trim() === "" ? t`It needs a name.` : null}>
        {(control) => (
          <Input {...control} value={name} onChange={(change) => setName(change.target.value)} />
        )}
      </Field>
      <Field label={t`Event, as JSON`} error={wrong(event)}>
        {(control) => (
          <Textarea
            {...control}
            rows={8}
            value={event}
            onChange={(change) => setEvent(change.target.value)}
          />
        )}
      </Field>
      {fails ? (
        <Field label={t`A part of why it fails`}>
          {(control) => (
            <Input
              {...control}
              value={reason}
              onChange={(change) => setReason(change.target.value)}
            />
          )}
        </Field>
      ) : (
        <Field
          label={t`The answer that is expected, as JSON`}
          hint={t`Left empty, it may be any.`}
          error={wrong(answer)}
        >
          {(control) => (
            <Textarea
              {...control}
              rows={4}
              value={answer}
              onChange={(change) => setAnswer(change.target.value)}
            />
          )}
        </Field>
      )}
      <p className="text-muted-foreground">
        {t`Its stubs, expected calls and stored values are in the YAML.`}
      </p>
      <FormError error={save.error} />
    </Dialog>
  )
}

/** Adds a test of the latest run to the document. */
function MakeDialog({
  draft,
  runs,
  count,
  has,
  onClose,
}: {
  draft: DraftHandle
  runs: Runs
  count: number
  has: boolean
  onClose: () => void
}) {
  const { run } = runs
  const flow = draft.flows.find((each) => each.name === run?.asked.flow)
  const [name, setName] = useState(`${flow?.title ?? ""} ${count + 1}`.trim())
  const madeUp = useMadeUp(draft, flow)
  const isBody = flow?.trigger.startsWith("webhook.") === true
  const recorded = run?.asked.execution ?? null
  const make = useMutation({
    mutationFn: async () => {
      if (run === null || flow === undefined) throw new Error(t`The flow that was run is gone.`)
      if (recorded !== null) {
        await testOfExecution(draft.id, draft.revision, recorded, name)
        return
      }
      const event = run.asked.event ?? (isBody ? (madeUp ?? null) : null)
      const made = testOf(name, flow, run.log, run.end, event, run.asked.signals, run.asked.effects)
      if ("refused" in made) {
        throw new Error(
          made.refused === "cut"
            ? t`A step answered more than a test can hold. Pin a smaller answer, and run it again.`
            : t`The run has not ended: run it to its end first.`,
        )
      }
      const test = await expectedTest(draft.id, draft.revision, made.test)
      const op: DraftEdit = has
        ? { op: "insert", path: ["tests"], at: count, value: test }
        : { op: "set", path: ["tests"], value: [test] }
      const outcome = await draft.edit([op])
      if (!outcome.made) throw outcome.error
    },
    onSuccess: onClose,
  })
  return (
    <Dialog
      title={t`Make a test of the last run`}
      onClose={onClose}
      onSubmit={() => name.trim() !== "" && make.mutate()}
      footer={
        <>
          <Button onClick={onClose}>{t`Back`}</Button>
          <Button type="submit" look="primary" disabled={name.trim() === ""} busy={make.isPending}>
            {t`Make the test`}
          </Button>
        </>
      }
    >
      <p className="text-muted-foreground">
        {recorded === null
          ? t`It has the run’s config, its event and what actions answered, and expects the same calls, inputs and end.`
          : t`It has what the execution recorded; secrets are hidden.`}
      </p>
      <Field label={t`Name`}>
        {(control) => (
          <Input {...control} value={name} onChange={(change) => setName(change.target.value)} />
        )}
      </Field>
      <FormError error={make.error} />
    </Dialog>
  )
}
