import { Dialog } from "@base-ui/react/dialog"
import { type KeyboardEvent, type ReactNode, useEffect, useId, useRef, useState } from "react"
import { cx } from "./class"

/** A dialog in which one of some things is chosen by typing: arrows walk, Enter takes. */
export function Chooser<Item extends { key: string }>({
  title,
  label,
  placeholder,
  listLabel = label,
  text,
  onText,
  items,
  onChoose,
  onClose,
  row,
  rowClass,
  className,
  finalFocus,
  children,
}: {
  title: string
  label: string
  placeholder: string
  listLabel?: string
  text: string
  onText: (text: string) => void
  items: readonly Item[]
  onChoose: (item: Item) => void
  onClose: () => void
  row: (item: Item) => ReactNode
  rowClass: string
  className: string
  finalFocus?: () => HTMLElement | boolean
  /** What stands below the list: why it is empty, say. */
  children?: ReactNode
}) {
  const [at, setAt] = useState(0)
  const list = useId()
  // Its field has the focus as soon as it is there, so the dialog does not know where that was before.
  const [before] = useState(() => document.activeElement)
  const chosen = useRef(false)
  const goBack = () =>
    chosen.current || !(before instanceof HTMLElement) || !before.isConnected ? true : before
  const now = Math.min(at, items.length - 1)
  const shown = useRef<HTMLUListElement>(null)
  useEffect(() => {
    shown.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" })
  }, [now, items])
  const choose = (item: Item | undefined) => {
    if (item === undefined) return
    chosen.current = true
    onClose()
    onChoose(item)
  }
  const onKeyDown = (event: KeyboardEvent) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0
    if (step !== 0) setAt((now + step + items.length) % Math.max(1, items.length))
    else if (event.key === "Enter") choose(items[now])
    else return
    event.preventDefault()
  }
  return (
    <Dialog.Root open onOpenChange={(open) => !open && onClose()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="fixed inset-0 z-40 bg-black/40" />
        <Dialog.Popup
          finalFocus={finalFocus ?? goBack}
          className={cx(
            "fixed left-1/2 z-50 flex -translate-x-1/2 flex-col overflow-hidden rounded-lg border bg-popover shadow-xl outline-none",
            className,
          )}
        >
          <Dialog.Title className="sr-only">{title}</Dialog.Title>
          <input
            role="combobox"
            aria-expanded
            aria-controls={list}
            aria-activedescendant={items.length > 0 ? `${list}-${now}` : undefined}
            aria-label={label}
            placeholder={placeholder}
            autoFocus
            value={text}
            onChange={(event) => {
              onText(event.target.value)
              setAt(0)
            }}
            onKeyDown={onKeyDown}
            className="h-11 w-full shrink-0 border-b bg-transparent px-4 text-base outline-none"
          />
          <ul
            ref={shown}
            id={list}
            role="listbox"
            aria-label={listLabel}
            className="min-h-0 overflow-auto p-1"
          >
            {items.map((each, index) => (
              <li
                key={each.key}
                id={`${list}-${index}`}
                role="option"
                aria-selected={index === now}
                onMouseMove={() => setAt(index)}
                onClick={() => choose(each)}
                className={cx(
                  "flex cursor-pointer items-center gap-3 rounded-sm px-3",
                  rowClass,
                  index === now && "bg-accent",
                )}
              >
                {row(each)}
              </li>
            ))}
          </ul>
          {children}
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  )
}
