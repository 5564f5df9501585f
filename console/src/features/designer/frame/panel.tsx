import { t } from "@lingui/core/macro"
import { lazy, Suspense } from "react"
import { Button } from "~/ui/button"
import { Loading } from "~/ui/notice"
import type { FlowOutline } from "../draft/types"
import { TRIGGER } from "../tree/walk"
import { FlowPanel } from "./flow-panel"
import type { Part } from "./part"

const StepPanel = lazy(async () => ({ default: (await import("../panel/step")).StepPanel }))

/** What is selected, in full, at the right. */
export function Panel({
  part,
  flow,
  selected,
  onTrigger,
  onDelete,
  onRenamed,
}: {
  part: Part
  flow: FlowOutline
  selected: string | null
  onTrigger: () => void
  onDelete: () => void
  onRenamed: (name: string) => void
}) {
  return (
    <aside
      aria-label={t`What is selected`}
      className="hidden min-h-0 w-90 shrink-0 flex-col overflow-y-auto border-l lg:flex xl:w-105"
    >
      {part.spot === null || selected === null || selected === TRIGGER ? (
        <FlowPanel
          key={flow.name}
          draft={part.draft}
          flow={flow}
          onRenamed={onRenamed}
          actions={
            part.draft.readOnly ? null : (
              <div className="flex flex-wrap gap-2">
                <Button onClick={onTrigger}>{t`Choose another trigger…`}</Button>
                <Button look="ghost" onClick={onDelete}>
                  {t`Delete the flow…`}
                </Button>
              </div>
            )
          }
        />
      ) : null}
      {part.spot !== null || selected === TRIGGER ? (
        <Suspense fallback={<Loading />}>
          <StepPanel {...part} />
        </Suspense>
      ) : null}
    </aside>
  )
}
