import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useMutation, useQueryClient } from "@tanstack/react-query"
import { api } from "~/api/client"
import type { Execution } from "~/api/execution"
import { useDraft } from "~/features/session/draft"
import { Button } from "~/ui/button"
import { Dialog } from "~/ui/dialog"
import { Field, Input } from "~/ui/field"
import { FormError } from "~/ui/notice"
import { toast } from "~/ui/toast"

/** Ask why an execution is cancelled, and cancel it. */
export function CancelDialog({
  execution,
  onClose,
}: {
  execution: Execution
  onClose: () => void
}) {
  const draft = useDraft(`cancel:${execution.id}`, { reason: "" })
  const { reason } = draft.now
  const client = useQueryClient()
  const cancel = useMutation({
    mutationFn: () =>
      api.POST("/api/executions/{execution}/cancel", {
        params: { path: { execution: execution.id } },
        body: reason === "" ? { reason: "cancelled by hand" } : { reason },
      }),
    onSuccess: () => {
      draft.drop()
      void client.invalidateQueries({ queryKey: ["execution", execution.id] })
      toast(
        execution.state === "running" ? t`It ends at its next step, or is cut` : t`It is cancelled`,
      )
      onClose()
    },
  })
  return (
    <Dialog
      title={t`Cancel the execution`}
      onClose={onClose}
      onSubmit={() => cancel.mutate()}
      footer={
        <>
          <Button onClick={onClose}>{t`Keep it`}</Button>
          <Button type="submit" look="danger" busy={cancel.isPending}>
            {t`Cancel the execution`}
          </Button>
        </>
      }
    >
      <p className="text-muted-foreground">
        <Trans>Steps that are done stay done. No other outcome stands any more.</Trans>
      </p>
      <Field label={t`Reason`} hint={t`It is shown in the list, and kept.`}>
        {(control) => (
          <Input
            {...control}
            autoFocus
            value={reason}
            maxLength={2000}
            onChange={(event) => draft.change({ reason: event.target.value })}
          />
        )}
      </Field>
      <FormError error={cancel.error} />
    </Dialog>
  )
}
