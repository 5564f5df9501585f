import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { useState } from "react"
import { answerOf, api } from "~/api/client"
import type { Execution } from "~/api/execution"
import { draftsQuery } from "~/features/designer/frame/drafts"
import { testOfExecution } from "~/features/designer/tests/made"
import { Button, buttonClass } from "~/ui/button"
import { Dialog } from "~/ui/dialog"
import { Choice, Field, Input } from "~/ui/field"
import { ErrorNotice, FormError, Loading } from "~/ui/notice"
import { fullTime } from "~/ui/time"

/** Copies an execution into a draft as a test: one that is there, or a new one of its version. */
export function CopyAsTest({ execution, onClose }: { execution: Execution; onClose: () => void }) {
  const { integration, version, flow } = execution
  const queries = useQueryClient()
  const drafts = useQuery(draftsQuery(integration))
  const [chosen, setChosen] = useState<string | null>(null)
  const [name, setName] = useState(`${flow} ${execution.key ?? execution.id.slice(-6)}`)
  const all = drafts.data ?? []
  const into = chosen ?? all[0]?.id ?? "new"
  const make = useMutation({
    mutationFn: async () => {
      const draft =
        into === "new"
          ? await answerOf(
              api.POST("/api/drafts", { body: { integration, version: version.hash } }),
            )
          : await answerOf(api.GET("/api/drafts/{draft}", { params: { path: { draft: into } } }))
      try {
        const made = await testOfExecution(draft.id, draft.revision, execution.id, name)
        return { ...made, draft: draft.id }
      } finally {
        // The draft that was made for it is there, also where it took no test.
        if (into === "new") {
          setChosen(draft.id)
          void queries.invalidateQueries({ queryKey: ["drafts"] })
        }
      }
    },
  })
  const done = make.data
  return (
    <Dialog
      title={t`Copy as a test`}
      onClose={onClose}
      onSubmit={() => done === undefined && make.mutate()}
      footer={
        <>
          <Button onClick={onClose}>{done === undefined ? t`Back` : t`Close`}</Button>
          {done === undefined ? (
            <Button
              type="submit"
              look="primary"
              disabled={drafts.data === undefined || name.trim() === ""}
              busy={make.isPending}
            >
              {t`Make the test`}
            </Button>
          ) : (
            <Link
              to="/drafts/$draft"
              params={{ draft: done.draft }}
              search={{ flow, drawer: "tests" }}
              className={buttonClass("primary")}
            >
              {t`Open the draft`}
            </Link>
          )}
        </>
      }
    >
      {done !== undefined ? (
        <>
          <p>
            <Trans>“{done.name}” is a test of the draft now. It was run once, and passed.</Trans>
          </p>
          {done.left_out.length > 0 && (
            <p className="text-muted-foreground">
              <Trans>Not compared, since they differ each time: {done.left_out.join(", ")}.</Trans>
            </p>
          )}
        </>
      ) : drafts.isError ? (
        <ErrorNotice error={drafts.error} retry={() => void drafts.refetch()} />
      ) : drafts.data === undefined ? (
        <Loading lines={3} />
      ) : (
        <>
          <p className="text-muted-foreground">
            {t`The test has what was recorded: the event, what the apps answered, and how it ended. Secrets are hidden.`}
          </p>
          <fieldset className="flex flex-col gap-2">
            <legend className="pb-1 text-xs font-medium">{t`Into which draft`}</legend>
            {all.map((each) => (
              <Choice
                key={each.id}
                type="radio"
                name="draft"
                label={t`Draft of ${each.changed_by}, changed ${fullTime(each.changed_at)}`}
                checked={into === each.id}
                onChange={() => setChosen(each.id)}
              />
            ))}
            <Choice
              type="radio"
              name="draft"
              label={t`A new draft of the version that ran`}
              checked={into === "new"}
              onChange={() => setChosen("new")}
            />
          </fieldset>
          <Field label={t`Name of the test`}>
            {(control) => (
              <Input {...control} value={name} onChange={(event) => setName(event.target.value)} />
            )}
          </Field>
        </>
      )}
      <FormError error={make.error} />
    </Dialog>
  )
}
