import { t } from "@lingui/core/macro"
import { lazy, Suspense } from "react"
import { Loading } from "~/ui/notice"
import { useNarrow } from "./narrow"
import type { Part } from "./part"

export const StepPanel = lazy(async () => ({ default: (await import("../panel/step")).StepPanel }))

/** What is selected, in full, at the right, where there is room; else it is beneath the drawing. */
export function Panel({ part }: { part: Part }) {
  if (useNarrow()) return null
  return (
    <aside
      aria-label={t`What is selected`}
      className="relative flex min-h-0 w-90 shrink-0 flex-col overflow-y-auto border-l 2xl:w-105"
    >
      <Suspense fallback={<Loading />}>
        <StepPanel {...part} />
      </Suspense>
    </aside>
  )
}
