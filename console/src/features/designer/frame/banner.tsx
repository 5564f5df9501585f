import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { type ReactNode, useState } from "react"
import { answerOf, api } from "~/api/client"
import { Button } from "~/ui/button"
import { cx } from "~/ui/class"
import { toast } from "~/ui/toast"
import type { DraftHandle } from "../draft/handle"

/** What stands in the way of editing, and what to do about it. */
export function Banners({
  draft,
  flow,
  writer,
  onLine,
}: {
  draft: DraftHandle
  flow: string
  writer: string | null
  onLine: () => void
}) {
  const { refusal, unreadable, state } = draft
  if (state.gone) {
    return (
      <Banner
        bad
      >{t`This draft was deleted. What it had is not lost where it was published.`}</Banner>
    )
  }
  return (
    <>
      {!state.online && (
        <Banner>
          {t`The server cannot be reached. What you change is kept in this tab, and sent once it is back.`}
        </Banner>
      )}
      {refusal !== null && <Refused draft={draft} />}
      {refusal === null && writer !== null && <Held draft={draft} flow={flow} writer={writer} />}
      {unreadable !== null && (
        <Banner bad action={<Button onClick={onLine}>{t`Show the text`}</Button>}>
          <Trans>
            The text cannot be read from line {unreadable.line} on: {unreadable.message}. Until
            then, the text alone can be edited.
          </Trans>
        </Banner>
      )}
    </>
  )
}

function Banner({
  bad = false,
  action,
  children,
}: {
  bad?: boolean
  action?: ReactNode
  children: ReactNode
}) {
  return (
    <div
      role="status"
      className={cx(
        "flex flex-wrap items-center gap-x-3 gap-y-1 border-b px-4 py-1.5",
        bad ? "text-failed-text" : "text-waiting",
      )}
    >
      <span className="min-w-0 flex-1 break-words">{children}</span>
      {action}
    </div>
  )
}

function Refused({ draft }: { draft: DraftHandle }) {
  const { refusal } = draft
  const [busy, setBusy] = useState(false)
  if (refusal === null) return null
  const decide = (how: "again" | "take" | "drop") => {
    setBusy(true)
    draft
      .decide(how)
      .catch((error: unknown) => toast(t`This was refused`, String(error)))
      .finally(() => setBusy(false))
  }
  const who = [...new Set(refusal.since?.map((each) => each.label) ?? [])].join(", ")
  const writer = refusal.writer?.label ?? ""
  return (
    <Banner
      action={
        <>
          {refusal.kind === "held" ? (
            <Button busy={busy} onClick={() => decide("take")}>
              {t`Take over and make it`}
            </Button>
          ) : (
            <Button busy={busy} onClick={() => decide("again")}>
              {t`Make mine on top`}
            </Button>
          )}
          <Button look="ghost" busy={busy} onClick={() => decide("drop")}>
            {t`Drop mine`}
          </Button>
        </>
      }
    >
      {refusal.kind === "held" ? (
        <Trans>
          {writer} writes this flow now: your change waits. Take the flow over, or drop your change.
        </Trans>
      ) : who === "" ? (
        t`Others changed the same lines: your change waits. What you see is theirs with yours on top.`
      ) : (
        <Trans>
          {who} changed the same lines: your change waits. What you see is theirs with yours on top.
        </Trans>
      )}
    </Banner>
  )
}

function Held({ draft, flow, writer }: { draft: DraftHandle; flow: string; writer: string }) {
  const [busy, setBusy] = useState(false)
  const take = () => {
    setBusy(true)
    answerOf(
      api.POST("/api/drafts/{draft}/writers", {
        params: { path: { draft: draft.id } },
        body: { flow, take_over: true },
      }),
    )
      .catch((error: unknown) => toast(t`This was refused`, String(error)))
      .finally(() => setBusy(false))
  }
  return (
    <Banner
      action={
        <Button busy={busy} onClick={take}>
          {t`Take over`}
        </Button>
      }
    >
      <Trans>{writer} writes this flow now. You see each change as it is made.</Trans>
    </Banner>
  )
}
