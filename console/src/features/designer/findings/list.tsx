import { t } from "@lingui/core/macro"
import { CircleAlert, TriangleAlert } from "lucide-react"
import { Button } from "~/ui/button"
import type { Part } from "../frame/part"

/** What lint says of the draft, each with the step that it is about, and what mends it. */
export function FindingsList({ draft, select }: Part) {
  if (draft.findings.length === 0) {
    return <p className="p-4 text-muted-foreground">{t`Nothing is wrong with it`}</p>
  }
  return (
    <ul aria-label={t`Findings`} className="h-full overflow-auto">
      {draft.findings.map((each, at) => {
        const { fix } = each
        const Icon = each.severity === "error" ? CircleAlert : TriangleAlert
        return (
          <li key={at} className="flex items-start gap-2 border-b border-border/60 px-4 py-1.5">
            <Icon
              role="img"
              aria-label={each.severity === "error" ? t`Error` : t`Warning`}
              className={`mt-0.5 size-4 shrink-0 ${each.severity === "error" ? "text-failed-text" : "text-waiting"}`}
            />
            <button
              type="button"
              className="min-w-0 flex-1 text-left break-words hover:underline"
              onClick={() => select(each.node, each.path)}
            >
              {each.message}
              <span className="ml-2 text-xs text-muted-foreground">
                {each.code} · {t`line ${each.line}`}
              </span>
            </button>
            {fix !== null && !draft.readOnly && (
              <Button onClick={() => void draft.edit([fix.edit])}>{fix.title}</Button>
            )}
          </li>
        )
      })}
    </ul>
  )
}
