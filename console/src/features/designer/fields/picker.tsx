import { Popover } from "@base-ui/react/popover"
import { t } from "@lingui/core/macro"
import { Braces } from "lucide-react"
import { buttonClass } from "~/ui/button"
import { cx } from "~/ui/class"
import { DataTree } from "../data/panel"
import { useFields } from "./scope"

/** A button that opens the values in scope, of which one is put into the field. */
export function Picker({
  open,
  onOpen,
  onPick,
  label,
  disabled = false,
}: {
  open: boolean
  onOpen: (open: boolean) => void
  onPick: (path: string) => void
  label: string
  disabled?: boolean
}) {
  const { data } = useFields()
  return (
    <Popover.Root open={open} onOpenChange={onOpen}>
      <Popover.Trigger
        disabled={disabled}
        aria-label={t`Put data into ${label}`}
        title={t`Data`}
        className={cx(buttonClass("ghost", true), "size-6")}
      >
        <Braces aria-hidden />
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Positioner sideOffset={4} align="end" className="z-50">
          <Popover.Popup
            aria-label={t`Data for ${label}`}
            className="flex max-h-96 w-90 max-w-[calc(100vw-24px)] flex-col overflow-hidden rounded-md border bg-popover shadow-lg outline-none"
          >
            <DataTree
              data={data}
              focused
              onPick={(path) => {
                onOpen(false)
                onPick(path)
              }}
            />
          </Popover.Popup>
        </Popover.Positioner>
      </Popover.Portal>
    </Popover.Root>
  )
}
