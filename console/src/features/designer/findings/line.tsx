import { t } from "@lingui/core/macro"
import { CircleAlert, Info, TriangleAlert, Wrench } from "lucide-react"
import { useState } from "react"
import { Button } from "~/ui/button"
import { cx } from "~/ui/class"
import type { DraftHandle } from "../draft/handle"
import type { DraftFinding } from "../draft/types"

export const looks = (severity: string) =>
  severity === "error"
    ? { Icon: CircleAlert, colour: "text-failed-text", word: t`Error` }
    : severity === "warning"
      ? { Icon: TriangleAlert, colour: "text-waiting", word: t`Warning` }
      : { Icon: Info, colour: "text-muted-foreground", word: t`Hint` }

/** A finding at its field, with the edit that mends it. */
export function FindingLine({ finding, draft }: { finding: DraftFinding; draft: DraftHandle }) {
  const { Icon, colour, word } = looks(finding.severity)
  return (
    <div className={cx("flex items-start gap-1.5 py-0.5 text-xs", colour)} data-code={finding.code}>
      <Icon aria-hidden className="mt-0.5 size-3.5 shrink-0" />
      <p className="min-w-0 flex-1 break-words">
        <span className="sr-only">{word}: </span>
        {finding.message}
      </p>
      <Fix finding={finding} draft={draft} />
    </div>
  )
}

/** The button that mends a finding; one of several choices says so, and is taken back by undo. */
export function Fix({ finding, draft }: { finding: DraftFinding; draft: DraftHandle }) {
  const [busy, setBusy] = useState(false)
  const { fix } = finding
  if (fix === null || draft.readOnly) return null
  const stale = draft.findingsRevision !== draft.revision || draft.pending > 0
  return (
    <Button
      look="outline"
      className="h-6"
      icon={<Wrench aria-hidden />}
      busy={busy}
      disabled={stale}
      title={fix.choice ? t`One of several: look whether it is what you mean` : fix.title}
      onClick={() => {
        setBusy(true)
        void draft.edit([fix.edit]).finally(() => setBusy(false))
      }}
    >
      {fix.choice ? t`${fix.title}?` : fix.title}
    </Button>
  )
}
