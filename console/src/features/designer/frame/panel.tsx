import { t } from "@lingui/core/macro"
import { lazy, Suspense } from "react"
import { Loading } from "~/ui/notice"
import type { Part } from "./part"

const StepPanel = lazy(async () => ({ default: (await import("../panel/step")).StepPanel }))

/** What is selected, in full, at the right. */
export function Panel({ part }: { part: Part }) {
  return (
    <aside
      aria-label={t`What is selected`}
      className="hidden min-h-0 w-90 shrink-0 flex-col overflow-y-auto border-l lg:flex 2xl:w-105"
    >
      <Suspense fallback={<Loading />}>
        <StepPanel {...part} />
      </Suspense>
    </aside>
  )
}
