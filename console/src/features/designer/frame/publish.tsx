import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { useNavigate } from "@tanstack/react-router"
import { CircleCheck } from "lucide-react"
import { type ReactNode, useState } from "react"
import { answerOf, api } from "~/api/client"
import { isStatus } from "~/api/problem"
import { Unified } from "~/features/integrations/compare"
import { integrationQuery } from "~/features/integrations/queries"
import { hunksOf } from "~/features/integrations/diff"
import { useDraft } from "~/features/session/draft"
import { Button } from "~/ui/button"
import { Dialog } from "~/ui/dialog"
import { Field, Input, Textarea } from "~/ui/field"
import { FormError, Pending } from "~/ui/notice"
import { toast } from "~/ui/toast"
import type { DraftHandle } from "../draft/handle"
import { useBegin } from "./drafts"

/** Make a version of the draft: what is wrong with it first, then what it changes. */
export function PublishDialog({
  draft,
  onFindings,
  onClose,
}: {
  draft: DraftHandle
  onFindings: () => void
  onClose: () => void
}) {
  const client = useQueryClient()
  const navigate = useNavigate()
  const { now, change, drop } = useDraft(`publish:${draft.id}`, {
    target: null as string | null,
    note: "",
  })
  const [expect, setExpect] = useState<string | null>(null)
  const begin = useBegin()
  const errors = draft.findings.filter((each) => each.severity === "error")
  const diff = useQuery({
    queryKey: ["draft", draft.id, "diff", draft.revision, expect],
    staleTime: 0,
    queryFn: ({ signal }) =>
      answerOf(
        api.GET("/api/drafts/{draft}/diff", {
          params: { path: { draft: draft.id }, query: { against: "newest" } },
          signal,
        }),
      ),
  })
  const publish = useMutation({
    mutationFn: () =>
      answerOf(
        api.POST("/api/drafts/{draft}/publish", {
          params: { path: { draft: draft.id }, header: { "if-match": `"${draft.revision}"` } },
          body: { target: target.trim(), note: now.note, expect },
        }),
      ),
    onSuccess: (version) => {
      drop()
      draft.published({ number: version.number, hash: version.hash })
      void client.invalidateQueries({ queryKey: ["integrations"] })
      toast(t`Version ${version.number} was published`, undefined, {
        name: t`Show the version`,
        run: () =>
          void navigate({
            to: "/integrations/$integration",
            params: { integration: draft.integration },
            search: { version: version.number },
          }),
      })
      onClose()
    },
    // It is compared anew: with the version that came in between.
    onError: () => void diff.refetch(),
  })
  const { data } = diff
  const newest = data?.against ?? null
  const integration = useQuery(integrationQuery(draft.integration))
  const target = now.target ?? proposedTarget(integration.data?.targets, newest?.hash ?? null)
  // What came since the draft began is asked about before, and not only once it is refused.
  const overtaken = newest !== null && newest.hash !== draft.state.base?.hash
  const onTop = overtaken && expect === newest.hash
  const waits = draft.findingsRevision !== draft.revision || draft.pending > 0
  return (
    <Dialog
      wide
      title={t`Publish ${draft.integration}`}
      onClose={onClose}
      onSubmit={() => publish.mutate()}
      footer={
        <>
          <Button onClick={onClose}>{t`Cancel`}</Button>
          <Button
            type="submit"
            look="primary"
            busy={publish.isPending}
            disabled={
              errors.length > 0 ||
              waits ||
              data === undefined ||
              integration.isPending ||
              (overtaken && !onTop)
            }
          >
            {t`Publish`}
          </Button>
        </>
      }
    >
      {errors.length > 0 ? (
        <div role="alert" className="flex flex-wrap items-center gap-2">
          <p className="min-w-0 flex-1 text-failed-text">
            {t`It cannot be published yet:`} {errors[0]?.message}
            {errors.length > 1 && ` (+${errors.length - 1})`}
          </p>
          <Button onClick={() => (onClose(), onFindings())}>{t`Show the findings`}</Button>
        </div>
      ) : waits || diff.isPending ? (
        <Ready>{t`It is being checked…`}</Ready>
      ) : overtaken || diff.isError ? null : (
        <Ready>{t`Nothing stands in the way`}</Ready>
      )}
      {overtaken && (
        <div role="alert" className="flex flex-wrap items-center gap-2 text-waiting">
          <p className="min-w-0 flex-1">
            {onTop ? (
              <Trans>It is published on top of version {newest.number}, as shown below.</Trans>
            ) : (
              <Trans>
                Version {newest.number} was published since this draft began. Below is what
                publishing would change of it, or take back.
              </Trans>
            )}
          </p>
          {!onTop && (
            <Button onClick={() => (setExpect(newest.hash), publish.reset())}>
              {t`Publish on top of version ${newest.number}`}
            </Button>
          )}
          <Button
            busy={begin.isPending}
            onClick={() =>
              begin.mutate(
                { integration: draft.integration, version: newest.hash },
                { onSuccess: onClose },
              )
            }
          >
            {t`New draft of version ${newest.number}`}
          </Button>
        </div>
      )}
      <FormError error={begin.error} />
      <div className="grid gap-3 sm:grid-cols-[160px_1fr]">
        <Field label={t`Target`} hint={t`Empty: none follows it`}>
          {(control) => (
            <Input
              {...control}
              value={target}
              onChange={(event) => change({ target: event.target.value })}
            />
          )}
        </Field>
        <Field label={t`Note`} hint={t`What is new, for those who upgrade`}>
          {(control) => (
            <Textarea
              {...control}
              rows={1}
              className="font-sans! text-sm!"
              value={now.note}
              onChange={(event) => change({ note: event.target.value })}
            />
          )}
        </Field>
      </div>
      {!isStatus(publish.error, 412) && <FormError error={publish.error} />}
      {data === undefined ? (
        <Pending of={diff} lines={3} />
      ) : (
        <section aria-label={t`Changes`} className="flex flex-col gap-2">
          <p className="text-muted-foreground">
            {newest === null
              ? t`It is the first version.`
              : t`Changes of version ${newest.number}:`}
          </p>
          <ul className="flex flex-wrap gap-2">
            {data.flows.map((each) => (
              <li key={each.flow} className="rounded-sm border px-1.5 text-xs">
                {each.flow === "" ? t`what is in no flow` : <code>{each.flow}</code>}{" "}
                <span className="text-muted-foreground">{changeWord(each.change)}</span>
              </li>
            ))}
            {data.flows.length === 0 && <li>{t`Nothing differs from it.`}</li>}
          </ul>
          <div tabIndex={0} className="max-h-80 overflow-auto rounded-md border">
            {hunksOf(data.lines).map((each) => (
              <Unified key={each.heading} lines={each.lines} />
            ))}
          </div>
        </section>
      )}
    </Dialog>
  )
}

/**
 * Return the target of the last publication; before the first, `dev`, as `halflap deploy` has it. What
 * customers get is moved on purpose alone.
 */
export function proposedTarget(
  targets: Record<string, string> = {},
  newest: string | null,
): string {
  const names = Object.keys(targets).filter((name) => targets[name] === newest)
  const free = names.filter((name) => name !== "offered" && name !== "production")
  return newest === null || free.includes("dev") ? "dev" : (free[0] ?? "")
}

function Ready({ children }: { children: ReactNode }) {
  return (
    <p role="status" className="flex items-center gap-1.5 text-succeeded">
      <CircleCheck aria-hidden className="size-4" />
      {children}
    </p>
  )
}

function changeWord(change: "added" | "removed" | "changed"): string {
  return { added: t`added`, removed: t`removed`, changed: t`changed` }[change]
}
