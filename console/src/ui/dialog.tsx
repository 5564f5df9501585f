import { Dialog as Base } from "@base-ui/react/dialog"
import { t } from "@lingui/core/macro"
import { X } from "lucide-react"
import { type ReactNode, type SubmitEvent, useRef } from "react"
import { buttonClass } from "./button"
import { cx } from "./class"

const FIELDS = ":is(input, select, textarea):not(:disabled, [type=hidden], [type=file])"

/** A dialog with a form, whose first field has the focus: its fields, what is wrong with it, and its buttons. */
export function Dialog({
  title,
  onClose,
  onSubmit,
  children,
  footer,
  wide = false,
}: {
  title: string
  /** Without it, only its own buttons end it: what it shows is not shown again. */
  onClose?: () => void
  onSubmit?: () => void
  children: ReactNode
  footer: ReactNode
  wide?: boolean
}) {
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    // A form of a dialog above this one is its child in React's tree, though not on the page.
    if (event.target === event.currentTarget) onSubmit?.()
  }
  const body = useRef<HTMLDivElement>(null)
  const buttons = useRef<HTMLElement>(null)
  // What was focused as it was made (`autoFocus`) stays so; without a field, the first button has it.
  const first = () => {
    const focused = document.activeElement
    if (focused instanceof HTMLElement && body.current?.contains(focused) === true) return focused
    const field = body.current?.querySelector<HTMLElement>(FIELDS)
    return field ?? buttons.current?.querySelector("button") ?? true
  }
  return (
    <Base.Root open onOpenChange={(open) => !open && onClose?.()}>
      <Base.Portal>
        <Base.Backdrop className="fixed inset-0 z-40 bg-black/40" />
        <Base.Popup
          initialFocus={first}
          className={cx(
            "fixed top-[8vh] left-1/2 z-50 flex max-h-[84vh] w-[calc(100vw-24px)] -translate-x-1/2 flex-col",
            "rounded-lg border bg-popover shadow-xl outline-none",
            wide ? "max-w-3xl" : "max-w-lg",
          )}
        >
          <form onSubmit={submit} className="flex min-h-0 flex-col">
            <header className="flex items-center justify-between border-b px-4 py-2.5">
              <Base.Title className="min-w-0 truncate text-base font-semibold">{title}</Base.Title>
              {onClose !== undefined && (
                <Base.Close aria-label={t`Close`} className={buttonClass("ghost", true)}>
                  <X aria-hidden />
                </Base.Close>
              )}
            </header>
            <div ref={body} className="flex min-h-0 flex-col gap-4 overflow-auto px-4 py-4">
              {children}
            </div>
            <footer ref={buttons} className="flex flex-wrap justify-end gap-2 border-t px-4 py-2.5">
              {footer}
            </footer>
          </form>
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  )
}
