import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { useNavigate } from "@tanstack/react-router"
import { answerOf, api, type Schemas } from "~/api/client"
import { type Execution, valueQuery } from "~/api/execution"
import { faultOf, pretty } from "~/api/exact"
import { isStatus } from "~/api/problem"
import { useDraft } from "~/features/session/draft"
import { Button } from "~/ui/button"
import { Dialog } from "~/ui/dialog"
import { Choice, Field, Select, Textarea } from "~/ui/field"
import { ErrorNotice, FormError, Loading } from "~/ui/notice"
import { toast } from "~/ui/toast"
import { failedStep } from "./sentence"

type Draft = Schemas["ReplayDraft"]
type Asked = {
  from: "start" | "failed"
  version: string
  edits: boolean
  body: string | null
  again: boolean
  doubt: "" | "repeat" | "done"
  result: string
  repeats: boolean
}

const LARGEST = 256 * 1024

/** Ask how an execution is run again: from where, on which version, with which event. */
export function ReplayDialog({
  execution,
  whole,
  onClose,
}: {
  execution: Execution
  whole: boolean
  onClose: () => void
}) {
  const hasFailed = execution.state === "failed" && execution.step_count > 0
  const inDoubt = execution.failure?.in_doubt === true
  const compares = execution.order?.rule === "pairs"
  const { event } = execution
  const editable =
    event !== null && !execution.payload_hidden && event.size > 0 && event.size <= LARGEST
  const draft = useDraft<Asked>(`replay:${whole ? "start" : "failed"}:${execution.id}`, {
    from: hasFailed && !whole ? "failed" : "start",
    version: "",
    edits: false,
    body: null,
    again: false,
    doubt: "",
    result: "",
    repeats: false,
  })
  const { from, version, edits, body: typed, again, doubt, result, repeats } = draft.now
  const original = useQuery({
    ...valueQuery(execution.id, "body"),
    enabled: edits,
    select: (text) => (text === null ? null : pretty(text)),
  })
  // What was typed is there at once, and is what is sent; only what is not edited yet has to come first.
  const body = typed ?? original.data
  const navigate = useNavigate()
  const client = useQueryClient()

  const done = inDoubt && doubt === "done"
  const resultFault = done && result.trim() !== "" ? noJson(result) : null
  const resultMissing = done && result.trim() === ""
  const wasJson =
    saysJson(event?.headers ?? []) || (original.data != null && faultOf(original.data) === null)
  const bodyFault = edits && wasJson && body != null ? noJson(body) : null

  const replay = useMutation({
    mutationFn: () => {
      const params = { path: { execution: execution.id } }
      if (done) {
        // The result goes as it was typed: its numbers keep every digit.
        const text = `{"version":${JSON.stringify(version || null)},"again":${again},"done":{"result":${result},"by":""}}`
        const raw = { bodySerializer: () => text, headers: { "Content-Type": "application/json" } }
        return answerOf(
          api.POST("/api/executions/{execution}/replay", { params, body: asked(), ...raw }),
        )
      }
      return answerOf(api.POST("/api/executions/{execution}/replay", { params, body: asked() }))
    },
    onSuccess: (made) => {
      draft.drop()
      void client.invalidateQueries({ queryKey: ["execution", execution.id] })
      toast(
        made.from === "failed"
          ? t`It is run again from the failed step`
          : t`It is run again from the start`,
        made.changed
          ? t`On another version or config than that of its finished steps.`
          : made.root === made.execution
            ? t`With new idempotency keys.`
            : t`With the same idempotency keys.`,
      )
      onClose()
      void navigate({ to: "/executions/$execution", params: { execution: made.execution } })
    },
  })
  const asked = (): Draft => ({
    from,
    version: version === "" ? null : version,
    event: edits && body != null ? { body, encoding: "utf-8", headers: {} } : null,
    repeat: (inDoubt && doubt === "repeat") || repeats,
    again,
    done: null,
  })
  const refused = isStatus(replay.error, 409)
  const step = failedStep(execution.failure)
  return (
    <Dialog
      title={t`Replay ${execution.flow}`}
      wide={edits}
      onClose={onClose}
      onSubmit={() => resultFault === null && bodyFault === null && replay.mutate()}
      footer={
        <>
          {draft.changed && (
            <Button look="ghost" onClick={draft.drop}>{t`Discard what I entered`}</Button>
          )}
          <Button onClick={onClose}>{t`Close`}</Button>
          <Button
            type="submit"
            look="primary"
            busy={replay.isPending}
            disabled={
              resultMissing ||
              (inDoubt && doubt === "" && from === "failed") ||
              (edits && body === undefined)
            }
          >
            {t`Replay`}
          </Button>
        </>
      }
    >
      {hasFailed && (
        <fieldset className="flex flex-col gap-2" disabled={done}>
          <legend className="pb-1 text-xs font-medium">{t`From where`}</legend>
          <Choice
            type="radio"
            name="from"
            checked={from === "failed"}
            onChange={() => draft.change({ from: "failed" })}
            label={step === null ? t`From the failed step` : t`From the failed step: ${step}`}
            hint={
              compares
                ? t`What succeeded is not done again. It compares first, with what the app of its event has now where that can be asked, and ends as ignored where that was dealt with since.`
                : t`What succeeded is not done again.`
            }
          />
          <Choice
            type="radio"
            name="from"
            checked={from === "start"}
            onChange={() => draft.change({ from: "start" })}
            label={t`From the start`}
            hint={compares ? undefined : t`Every step is done again.`}
          />
        </fieldset>
      )}
      {compares && from === "start" && (
        <p className="text-waiting">
          {t`Every step is done again, with what the app of its event has now: that is written over what was edited at the other app meanwhile.`}
        </p>
      )}
      {compares && edits && (
        <p className="text-waiting">
          {t`Where the app can be asked for the record, its values are taken from there, not from the edited event.`}
        </p>
      )}
      {inDoubt && (
        <fieldset className="flex flex-col gap-2 rounded-md border border-waiting/40 p-3">
          <legend className="px-1 text-xs font-medium text-waiting">
            {t`Its last request may have been carried out`}
          </legend>
          <Choice
            type="radio"
            name="doubt"
            checked={doubt === "repeat"}
            onChange={() => draft.change({ doubt: "repeat" })}
            label={t`It was not: send it again`}
          />
          <Choice
            type="radio"
            name="doubt"
            checked={doubt === "done"}
            onChange={() => draft.change({ doubt: "done", edits: false })}
            label={t`It was: go on behind it`}
            hint={t`Nothing is sent; the flow goes on with the result that the app has.`}
          />
          {done && (
            <Field
              label={t`Its result, as JSON`}
              hint={t`What the step would have given: later steps go on with it. null, where it gives nothing.`}
              error={resultFault}
            >
              {(control) => (
                <Textarea
                  {...control}
                  rows={4}
                  value={result}
                  onChange={(e) => draft.change({ result: e.target.value })}
                />
              )}
            </Field>
          )}
        </fieldset>
      )}
      <Field label={t`Version`}>
        {(control) => (
          <Select
            {...control}
            value={version}
            onChange={(e) => draft.change({ version: e.target.value })}
          >
            <option value="">{t`the one that its instance has now`}</option>
            <option value="same">{t`its own, with the config that it had`}</option>
          </Select>
        )}
      </Field>
      {editable && (
        <Choice
          checked={edits}
          disabled={done}
          onChange={(e) => draft.change({ edits: e.target.checked })}
          label={t`With an edited event`}
        />
      )}
      {edits && original.data === null && (
        <p className="text-muted-foreground">{t`Its body is binary, and is not edited here.`}</p>
      )}
      {edits && original.isError && (
        <ErrorNotice error={original.error} retry={() => void original.refetch()} />
      )}
      {edits && body === undefined && original.isPending && <Loading />}
      {edits && body != null && (
        <Field label={t`Body of the event`} error={bodyFault}>
          {(control) => (
            <Textarea
              {...control}
              rows={16}
              value={body}
              onChange={(e) => draft.change({ body: e.target.value })}
            />
          )}
        </Field>
      )}
      <FormError error={replay.error} />
      {(refused || again || repeats) && (
        <fieldset className="flex flex-col gap-2">
          <legend className="pb-1 text-xs font-medium">{t`Do it all the same`}</legend>
          <Choice
            checked={again}
            onChange={(e) => draft.change({ again: e.target.checked })}
            label={t`Although it was replayed since, or newer events of its order have run`}
          />
          <Choice
            checked={repeats}
            onChange={(e) => draft.change({ repeats: e.target.checked })}
            label={t`Although effects that were made may be made again`}
          />
        </fieldset>
      )}
      {execution.dismissed && execution.replays.length > 0 && (
        <p className="text-waiting">
          <Trans>It was replayed already.</Trans>
        </p>
      )}
    </Dialog>
  )
}

/** Return whether an event's content type says that its body is JSON. */
export function saysJson(headers: readonly (readonly [string, string])[]): boolean {
  const type = headers.find(([name]) => name.toLowerCase() === "content-type")?.[1] ?? ""
  return /^\s*[\w.-]+\/(?:[\w.-]+\+)?json\s*(?:;|$)/i.test(type)
}

/** Say why and where a text is no JSON; null where it is. */
export function noJson(text: string): string | null {
  const fault = faultOf(text)
  return fault && t`It is no JSON: ${fault}`
}
