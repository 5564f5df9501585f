import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useMutation, useQueryClient } from "@tanstack/react-query"
import { useState } from "react"
import { answerOf, api } from "~/api/client"
import type { Execution } from "~/api/execution"
import { useDraft } from "~/features/session/draft"
import { Button } from "~/ui/button"
import { Dialog } from "~/ui/dialog"
import { Field, Select, Textarea } from "~/ui/field"
import { FormError } from "~/ui/notice"
import { toast } from "~/ui/toast"
import { noJson } from "./replay"

/** Send one of the signals that an execution waits for, with its payload. */
export function AnswerDialog({
  execution,
  signals,
  onClose,
}: {
  execution: Execution
  signals: readonly string[]
  onClose: () => void
}) {
  const { id } = execution
  const draft = useDraft(`answer:${id}`, { text: "" })
  const { text } = draft.now
  const [name, setName] = useState(signals[0] ?? "")
  const [once] = useState(() => crypto.randomUUID())
  const client = useQueryClient()
  const given = text.trim()
  const wrong = given === "" ? null : noJson(text)
  const send = useMutation({
    mutationFn: () =>
      answerOf(
        api.POST("/api/executions/{execution}/signals/{name}", {
          params: { path: { execution: id, name }, header: { "idempotency-key": once } },
          body: given === "" ? "null" : given,
          bodySerializer: (body) => body as string, // as it was typed: numbers keep their digits
        }),
      ),
    onSuccess: () => {
      draft.drop()
      void client.invalidateQueries({ queryKey: ["execution", id] })
      toast(t`The answer was sent`, t`The execution goes on with it.`)
      onClose()
    },
  })
  return (
    <Dialog
      title={t`Answer what it waits for`}
      onClose={onClose}
      onSubmit={() => wrong === null && send.mutate()}
      footer={
        <>
          <Button onClick={onClose}>{t`Close`}</Button>
          <Button type="submit" look="primary" busy={send.isPending}>
            {t`Send the answer`}
          </Button>
        </>
      }
    >
      {signals.length > 1 ? (
        <Field label={t`Signal`}>
          {(control) => (
            <Select {...control} value={name} onChange={(event) => setName(event.target.value)}>
              {signals.map((each) => (
                <option key={each}>{each}</option>
              ))}
            </Select>
          )}
        </Field>
      ) : (
        <p>
          <Trans>
            The flow waits for the signal <code>{name}</code>, and goes on with what you send.
          </Trans>
        </p>
      )}
      <Field
        label={t`Answer`}
        error={wrong}
        hint={
          <Trans>
            JSON, as the flow expects it, such as <code>{'{"approved": true, "by": "Ada"}'}</code>;
            a link of the flow’s own sends <code>{'{"choice": "…"}'}</code>. Left empty, it is{" "}
            <code>null</code>.
          </Trans>
        }
      >
        {(control) => (
          <Textarea
            {...control}
            autoFocus
            rows={4}
            value={text}
            onChange={(event) => draft.change({ text: event.target.value })}
          />
        )}
      </Field>
      <p className="text-xs text-muted-foreground">
        {t`It counts once, and cannot be taken back. Who sent it is in the audit log.`}
      </p>
      <FormError error={send.error} />
    </Dialog>
  )
}
