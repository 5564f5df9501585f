import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query"
import { useEffect, useState } from "react"
import { answerOf, api } from "~/api/client"
import { type Execution, stepsQuery, valueQuery } from "~/api/execution"
import { FormDialog } from "~/features/forms/dialog"
import { type Control, controlOf, controlsOf, type Schema } from "~/features/forms/schema"
import { Button } from "~/ui/button"
import { Field, Select } from "~/ui/field"
import { toast } from "~/ui/toast"

/** Send one of the signals that an execution waits for: by a form of what the flow takes, or as JSON. */
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
  const [name, setName] = useState(signals[0] ?? "")
  const [json, setJson] = useState(false)
  const [once] = useState(() => crypto.randomUUID())
  const client = useQueryClient()
  const schema = useAnswerSchema(execution, name)
  if (schema === undefined) return null
  const form = json || schema === null ? null : controlsFor(schema)
  return (
    <FormDialog
      key={`${name} ${form === null}`}
      title={t`Answer what it waits for`}
      controls={form?.controls ?? [asJson()]}
      storeKey={`answer:${id}:${name}${form === null ? "" : ":form"}`}
      verb={t`Send the answer`}
      send={(text) =>
        answerOf(
          api.POST("/api/executions/{execution}/signals/{name}", {
            params: { path: { execution: id, name }, header: { "idempotency-key": once } },
            body: form?.whole === true ? text : answerIn(text),
            bodySerializer: (body) => body as string, // as it was typed: numbers keep their digits
          }),
        )
      }
      onDone={() => {
        void client.invalidateQueries({ queryKey: ["execution", id] })
        toast(t`The answer was sent`, t`The execution goes on with it.`)
        onClose()
      }}
      onClose={onClose}
      after={
        <div className="flex flex-col gap-2 text-xs text-muted-foreground">
          {schema !== null && (
            <Button look="ghost" className="self-start" onClick={() => setJson(!json)}>
              {json ? t`Fill in the form instead` : t`Write it as JSON instead`}
            </Button>
          )}
          <p>{t`It counts once, and cannot be taken back. Who sent it is in the audit log.`}</p>
        </div>
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
    </FormDialog>
  )
}

const ANSWER = "answer"

/** The field of an answer of which nothing is known. */
function asJson(): Control {
  const [example, link] = ['{"approved": true, "by": "Ada"}', '{"choice": "…"}']
  return {
    name: ANSWER,
    title: t`Answer`,
    description: t`JSON, as the flow expects it, such as ${example}; a link of the flow’s own sends ${link}. Left empty, it is null.`,
    required: false,
    kind: "json",
  }
}

/** Return the fields of an answer; `whole` says that together they are the answer. */
function controlsFor(schema: Schema): { controls: Control[]; whole: boolean } {
  if (schema.properties !== undefined) return { controls: controlsOf(schema), whole: true }
  const optional = schema.type === "null" || schema.anyOf?.some((each) => each.type === "null")
  return { controls: [controlOf(ANSWER, schema, optional !== true)], whole: false }
}

/** Return the value of the one field of a form's text, with every digit. */
function answerIn(text: string): string {
  return text === "{}" ? "null" : text.slice(`{"${ANSWER}":`.length, -1)
}

/** The schema of a signal's payload, as its step has recorded it; null where it has none. */
function useAnswerSchema(execution: Execution, signal: string): Schema | null | undefined {
  const steps = useInfiniteQuery(stepsQuery(execution.id))
  const step = steps.data?.findLast((each) => each.kind === "signal" && each.name === signal)
  const { hasNextPage, isFetching, isError, fetchNextPage } = steps
  const looks = step === undefined && hasNextPage && !isError
  useEffect(() => {
    if (looks && !isFetching) void fetchNextPage()
  }, [looks, isFetching, fetchNextPage])
  const asked = step?.inputs != null && !execution.payload_hidden
  const inputs = useQuery({
    ...valueQuery(execution.id, "inputs", step?.path),
    enabled: asked,
  })
  if (steps.isPending || looks || (asked && inputs.isPending)) return undefined
  return inputs.data == null ? null : (JSON.parse(inputs.data) as { schema: Schema }).schema
}
