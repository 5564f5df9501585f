import { t } from "@lingui/core/macro"
import { X } from "lucide-react"
import { type ReactNode, useEffect } from "react"
import { IconButton } from "./button"

/** A panel beside a list, which stays usable: what a row holds, in full. Escape closes it. */
export function Sheet({
  label,
  onClose,
  actions,
  children,
}: {
  label: string
  onClose: () => void
  actions?: ReactNode
  children: ReactNode
}) {
  useEffect(() => {
    const close = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || event.defaultPrevented) return
      if (document.querySelector("[role=dialog], [role=menu]") === null) onClose()
    }
    window.addEventListener("keydown", close)
    return () => window.removeEventListener("keydown", close)
  }, [onClose])
  return (
    <aside
      aria-label={label}
      className="fixed inset-0 z-30 flex min-h-0 flex-col overflow-hidden border-l bg-background md:left-50 lg:static lg:w-[min(60%,860px)] lg:shrink-0"
    >
      <div className="flex h-10 shrink-0 items-center justify-end gap-1 border-b px-2">
        {actions}
        <IconButton name={t`Close`} onClick={onClose}>
          <X aria-hidden />
        </IconButton>
      </div>
      <div className="min-h-0 flex-1 overflow-auto">{children}</div>
    </aside>
  )
}
