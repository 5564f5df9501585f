import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useMutation } from "@tanstack/react-query"
import { type ReactNode, useState } from "react"
import { Button } from "./button"
import { Dialog } from "./dialog"
import { Field, Input } from "./field"
import { FormError } from "./notice"

/** What `onConfirm` returns where the dialog stays, to show what was made. */
export const STAY = Symbol("stay")

/** Asks before something is done that matters; with `typed`, the name has to be typed for it. */
export function Confirm({
  title,
  verb,
  children,
  typed,
  danger = false,
  able = true,
  onConfirm,
  onClose,
}: {
  title: string
  verb: string
  children?: ReactNode
  typed?: string
  danger?: boolean
  /** False while it cannot be done: what stands in the dialog says why. */
  able?: boolean
  onConfirm: () => Promise<unknown>
  onClose: () => void
}) {
  const [text, setText] = useState("")
  const run = useMutation({
    mutationFn: onConfirm,
    onSuccess: (done) => done !== STAY && onClose(),
  })
  const ready = able && (typed === undefined || text.trim() === typed)
  return (
    <Dialog
      title={title}
      onClose={onClose}
      onSubmit={() => ready && run.mutate()}
      footer={
        <>
          <Button onClick={onClose}>{t`Back`}</Button>
          <Button
            type="submit"
            look={danger ? "danger" : "primary"}
            disabled={!ready}
            busy={run.isPending}
          >
            {verb}
          </Button>
        </>
      }
    >
      {children}
      {typed !== undefined && (
        <Field
          label={t`To confirm, type the name`}
          hint={
            <Trans>
              <strong>{typed}</strong>
            </Trans>
          }
        >
          {(control) => (
            <Input
              {...control}
              autoComplete="off"
              value={text}
              onChange={(event) => setText(event.target.value)}
            />
          )}
        </Field>
      )}
      <FormError error={run.error} />
    </Dialog>
  )
}
