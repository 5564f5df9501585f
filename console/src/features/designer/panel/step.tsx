import { t } from "@lingui/core/macro"
import type { Part } from "../frame/part"

/** The fields of the step that is selected. */
export function StepPanel({ spot }: Part) {
  if (spot === null) return <p className="p-4 text-muted-foreground">{t`No step is selected`}</p>
  const { node } = spot
  return (
    <dl className="grid grid-cols-[auto_1fr] gap-x-3 gap-y-1 p-4">
      {Object.entries(node.fields).map(([name, value]) => (
        <div key={name} className="contents">
          <dt className="text-muted-foreground">{name}</dt>
          <dd className="min-w-0 font-mono text-xs break-words">
            {typeof value === "string" ? value : JSON.stringify(value)}
          </dd>
        </div>
      ))}
    </dl>
  )
}
