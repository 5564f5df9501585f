import { t } from "@lingui/core/macro"
import { MoreHorizontal } from "lucide-react"
import { createContext, use, useState } from "react"
import { Menu } from "~/ui/menu"
import type { Command } from "./commands"

export type Menus = { commands: () => readonly Command[]; select: (key: string) => void }

const Context = createContext<Menus>({ commands: () => [], select: () => undefined })

/** Gives the menus of the steps within it their actions. */
export const StepMenus = Context.Provider

export function stepMenu(key: string) {
  return <StepMenu step={key} />
}

/** The actions of a step; opening it selects the step. */
function StepMenu({ step }: { step: string }) {
  const { commands, select } = use(Context)
  const [items, setItems] = useState<readonly Command[]>([])
  const run = (key: string) =>
    commands()
      .find((each) => each.key === key)
      ?.run()
  return (
    <Menu
      name={t`Actions for the step`}
      className="size-6 border-transparent bg-transparent px-0 text-muted-foreground"
      tabIndex={-1}
      onOpen={() => {
        select(step)
        // What is selected then is what they are about.
        requestAnimationFrame(() => setItems(commands().filter((each) => each.ofStep)))
      }}
      items={items.map((each) => ({
        label: each.label,
        hint: each.keys,
        disabled: !each.enabled,
        onSelect: () => run(each.key),
      }))}
    >
      <MoreHorizontal aria-hidden />
    </Menu>
  )
}
