import { Trans } from "@lingui/react/macro"
import { t } from "@lingui/core/macro"
import { CircleCheck } from "lucide-react"
import { cx } from "~/ui/class"
import { Loading, Notice } from "~/ui/notice"
import type { Part } from "../frame/part"
import { spotAt } from "../tree/walk"
import { Fix, looks } from "./line"

const RANK: Record<string, number> = { error: 0, warning: 1 }

/** All that lint says of the draft; a click leads to the field that it is about. */
export function FindingsList({ draft, select }: Part) {
  const findings = draft.findings.toSorted(
    (one, other) => (RANK[one.severity] ?? 2) - (RANK[other.severity] ?? 2),
  )
  if (draft.findingsRevision === 0) return <Loading lines={3} />
  if (findings.length === 0) {
    return (
      <Notice icon={<CircleCheck />} title={t`Nothing is wrong`}>
        <Trans>Lint finds no errors and has no advice.</Trans>
      </Notice>
    )
  }
  return (
    <ul aria-label={t`Findings`} className="h-full divide-y overflow-auto">
      {findings.map((each, at) => {
        const { Icon, colour, word } = looks(each.severity)
        const spot = spotAt(draft.flows, each.path)
        const place = spot === null ? each.path.slice(0, 3).join(" › ") : spot.flow.title
        const step = spot === null ? "" : (spot.node.title ?? spot.node.id ?? spot.node.kind)
        return (
          <li key={at} className="flex items-start gap-2 px-4 py-1.5">
            <Icon aria-hidden className={cx("mt-0.5 size-4 shrink-0", colour)} />
            <button
              type="button"
              className="min-w-0 flex-1 rounded-sm text-left hover:underline"
              onClick={() => select(each.node, each.path)}
            >
              <span className="sr-only">{word}: </span>
              <span className="break-words">{each.message}</span>
              <span className="block truncate text-xs text-muted-foreground">
                {[place, step, t`line ${each.line}`, each.code].filter(Boolean).join(" · ")}
              </span>
            </button>
            <Fix finding={each} draft={draft} />
          </li>
        )
      })}
    </ul>
  )
}
