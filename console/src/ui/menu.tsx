import { Menu as Base } from "@base-ui/react/menu"
import type { ReactNode } from "react"
import { buttonClass } from "./button"
import { cx } from "./class"

export type MenuItem = {
  label: string
  icon?: ReactNode
  /** The keys that do the same. */
  hint?: string | undefined
  onSelect: () => void
  disabled?: boolean
}

/** A button that opens a list of actions. */
export function Menu({
  name,
  children,
  items,
  className,
  tabIndex,
  onOpen,
}: {
  name: string
  children: ReactNode
  items: MenuItem[]
  className?: string
  tabIndex?: number
  onOpen?: () => void
}) {
  return (
    <Base.Root onOpenChange={(open) => open && onOpen?.()}>
      <Base.Trigger
        aria-label={name}
        title={name}
        tabIndex={tabIndex}
        className={cx(buttonClass("outline"), className)}
      >
        {children}
      </Base.Trigger>
      <Base.Portal>
        <Base.Positioner sideOffset={4} align="end" className="z-50">
          <Base.Popup className="min-w-44 rounded-md border bg-popover p-1 shadow-lg outline-none">
            {items.map((each) => (
              <Base.Item
                key={each.label}
                onClick={each.onSelect}
                disabled={each.disabled ?? false}
                className="flex h-7 cursor-pointer items-center gap-2 rounded-sm px-2 outline-none select-none data-[disabled]:opacity-50 data-[highlighted]:bg-secondary [&_svg]:size-3.5"
              >
                {each.icon}
                {each.label}
                {each.hint !== undefined && (
                  <kbd className="ml-auto pl-4 text-muted-foreground">{each.hint}</kbd>
                )}
              </Base.Item>
            ))}
          </Base.Popup>
        </Base.Positioner>
      </Base.Portal>
    </Base.Root>
  )
}
