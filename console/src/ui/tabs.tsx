import { Tabs as Base } from "@base-ui/react/tabs"
import type { ReactNode } from "react"

export type Tab = {
  key: string
  label: string
  count?: number | undefined
  content: () => ReactNode
}

/** Panels of which one is shown. */
export function Tabs({
  tabs,
  selected,
  onSelect,
  label,
}: {
  tabs: Tab[]
  selected: string | undefined
  onSelect: (key: string) => void
  label: string
}) {
  const now = tabs.find((each) => each.key === selected) ?? tabs[0]
  if (now === undefined) return null
  return (
    <Base.Root value={now.key} onValueChange={(key: string) => onSelect(key)} className="min-w-0">
      <Base.List aria-label={label} className="flex flex-wrap gap-x-4 border-b px-4">
        {tabs.map((each) => (
          <Base.Tab
            key={each.key}
            value={each.key}
            className="-mb-px flex h-8 items-center gap-1.5 border-b-2 border-transparent whitespace-nowrap text-muted-foreground hover:text-foreground data-[active]:border-primary data-[active]:text-foreground"
          >
            {each.label}
            {each.count !== undefined && (
              <span className="figures text-xs text-muted-foreground">{each.count}</span>
            )}
          </Base.Tab>
        ))}
      </Base.List>
      <Base.Panel value={now.key} className="p-4 outline-none">
        {now.content()}
      </Base.Panel>
    </Base.Root>
  )
}
