import { t } from "@lingui/core/macro"
import { ChevronDown, ChevronUp } from "lucide-react"
import { lazy, type ReactNode, Suspense } from "react"
import { IconButton } from "~/ui/button"
import { cx } from "~/ui/class"
import { Loading } from "~/ui/notice"
import { STEP, useNarrow } from "./narrow"
import { StepPanel } from "./panel"
import type { Part } from "./part"

const YamlEditor = lazy(async () => ({ default: (await import("../yaml/editor")).YamlEditor }))
const DataPanel = lazy(async () => ({ default: (await import("../data/panel")).DataPanel }))
const ConfigEditor = lazy(async () => ({
  default: (await import("../config/editor")).ConfigEditor,
}))
const FindingsList = lazy(async () => ({
  default: (await import("../findings/list")).FindingsList,
}))
const TestsDrawer = lazy(async () => ({
  default: (await import("../tests/drawer")).TestsDrawer,
}))

/** What is beneath the drawing, by the key that the address has. */
const TABS: { key: string; label: () => string; content: (part: Part) => ReactNode }[] = [
  {
    key: STEP,
    label: () => t`Step`,
    content: (part) => (
      <aside
        aria-label={t`What is selected`}
        className="relative flex h-full flex-col overflow-y-auto"
      >
        <StepPanel {...part} />
      </aside>
    ),
  },
  {
    key: "data",
    label: () => t`Data`,
    content: ({ draft, spot }) => <DataPanel draft={draft} path={spot?.node.path ?? null} />,
  },
  { key: "tests", label: () => t`Tests`, content: (part) => <TestsDrawer {...part} /> },
  { key: "findings", label: () => t`Findings`, content: (part) => <FindingsList {...part} /> },
  { key: "yaml", label: () => t`YAML`, content: (part) => <YamlEditor {...part} /> },
  { key: "config", label: () => t`Config`, content: (part) => <ConfigEditor {...part} /> },
]

export function Drawer({
  part,
  open,
  onOpen,
}: {
  part: Part
  open: string | undefined
  onOpen: (tab: string | undefined) => void
}) {
  const narrow = useNarrow()
  const tabs = TABS.filter((each) => each.key !== STEP || (narrow && part.flow !== null))
  const now = tabs.find((each) => each.key === open)
  const led: Part = {
    ...part,
    select: (key, field) => {
      if (field?.[0] === "config") onOpen("config")
      part.select(key, field)
    },
  }
  return (
    <section
      aria-label={t`Below the drawing`}
      className={cx(
        "flex shrink-0 flex-col border-t",
        now !== undefined && (["config", STEP].includes(now.key) ? "h-[70%]" : "h-[38%]"),
        now !== undefined && narrow && "max-h-[60dvh]",
      )}
    >
      <div
        className="flex h-8 shrink-0 items-center overflow-x-auto px-1 md:gap-1 md:px-2"
        role="group"
      >
        {tabs.map((each) => (
          <button
            key={each.key}
            type="button"
            aria-expanded={each.key === open}
            onClick={() => onOpen(each.key === open ? undefined : each.key)}
            className="flex h-7 items-center gap-1.5 rounded-md px-2 text-muted-foreground hover:bg-secondary hover:text-foreground aria-expanded:font-medium aria-expanded:text-foreground"
          >
            {each.label()}
            {each.key === "findings" && part.draft.findings.length > 0 && (
              <span className="figures text-xs">{part.draft.findings.length}</span>
            )}
          </button>
        ))}
        <IconButton
          name={now === undefined ? t`Open` : t`Close`}
          className="ml-auto"
          onClick={() => onOpen(now === undefined ? "yaml" : undefined)}
        >
          {now === undefined ? <ChevronUp aria-hidden /> : <ChevronDown aria-hidden />}
        </IconButton>
      </div>
      {now !== undefined && (
        <div className="min-h-0 flex-1 border-t">
          <Suspense fallback={<Loading />}>{now.content(led)}</Suspense>
        </div>
      )}
    </section>
  )
}
