import { t } from "@lingui/core/macro"
import { PencilLine } from "lucide-react"
import type { Execution } from "~/api/execution"
import { Badge } from "~/ui/badge"

type Related = Pick<Execution["lineage"][number], "id" | "replay_of" | "edited">

/** Return what has the event as it came, which others of a lineage were made of by an edit. */
export function originalOf(lineage: readonly Related[], id: string): string | null {
  const by = new Map(lineage.map((each) => [each.id, each]))
  let [at, edited] = [by.get(id), false]
  while (at?.replay_of != null) {
    edited ||= at.edited
    const before = by.get(at.replay_of)
    if (before === undefined) return edited ? at.replay_of : null
    at = before
  }
  return edited ? (at?.id ?? null) : null
}

/** Say who wrote the event of an execution that is no longer as it came. */
export function editedBy(execution: Pick<Execution, "id" | "edited_by" | "lineage">): string {
  const who = execution.edited_by ?? ""
  return execution.lineage.find(({ id }) => id === execution.id)?.edited === false
    ? t`event edited by ${who} for an earlier replay`
    : t`event edited by ${who} for this replay`
}

/** Marks what has an event that somebody edited; its title says who. `small`: an icon alone. */
export function EditedMark({ by, small = false }: { by: string; small?: boolean }) {
  return (
    <Badge tone="warn" icon={PencilLine} title={t`event edited by ${by}, not as it came`}>
      <span className={small ? "sr-only" : undefined}>{t`edited event`}</span>
    </Badge>
  )
}
