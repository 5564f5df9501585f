import { Toast } from "@base-ui/react/toast"
import { t } from "@lingui/core/macro"
import { X } from "lucide-react"
import { IconButton } from "./button"

const manager = Toast.createToastManager()
const FRESH_MS = 2_000
const shown = new Map<string, number>()

/** Say in a corner what was done, or that it was refused: in the place of what was said before. */
export function toast(
  title: string,
  description?: string,
  /** What may be done next: its name, and what does it. */
  next?: { name: string; run: () => void },
): void {
  clearToasts(0)
  const id: string = manager.add({
    title,
    description: description ?? "",
    ...(next && { actionProps: { children: next.name, onClick: next.run } }),
    onRemove: () => shown.delete(id),
  })
  shown.set(id, Date.now())
}

/** Take away what was said a while ago: it is about another page than the one that comes. */
export function clearToasts(olderThanMs = FRESH_MS): void {
  for (const [id, at] of shown) if (Date.now() - at >= olderThanMs) manager.close(id)
}

function Toasts() {
  const { toasts } = Toast.useToastManager()
  return toasts.map((each) => (
    <Toast.Root
      key={each.id}
      toast={each}
      className="flex items-start gap-2 rounded-md border bg-popover py-2 pr-1 pl-3 shadow-lg"
    >
      <div className="min-w-0 flex-1">
        <Toast.Title className="font-medium break-words" />
        <Toast.Description className="break-words text-muted-foreground empty:hidden" />
        <Toast.Action className="link" />
      </div>
      <Toast.Close render={<IconButton name={t`Close`} className="size-6" />}>
        <X aria-hidden />
      </Toast.Close>
    </Toast.Root>
  ))
}

/** The place where toasts are shown. */
export function Toaster() {
  return (
    <Toast.Provider toastManager={manager} timeout={6_000}>
      <Toast.Portal>
        <Toast.Viewport className="fixed right-4 bottom-4 z-50 flex w-[min(360px,calc(100vw-32px))] flex-col gap-2">
          <Toasts />
        </Toast.Viewport>
      </Toast.Portal>
    </Toast.Provider>
  )
}
