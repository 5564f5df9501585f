import { t } from "@lingui/core/macro"
import type { Part } from "../frame/part"

/** The text of the draft. */
export function YamlEditor({ draft }: Part) {
  return (
    <pre tabIndex={0} aria-label={t`YAML`} className="h-full overflow-auto p-3">
      {draft.text}
    </pre>
  )
}
