import { Combobox as Base } from "@base-ui/react/combobox"
import { t } from "@lingui/core/macro"
import { Check, ChevronDown, LoaderCircle } from "lucide-react"
import { useMemo } from "react"
import { cx } from "./class"

export type Option = {
  value: string
  label: string
  /** What stands beside it, in which is searched, too. */
  hint?: string
  /** A line below it, in which is searched, too. */
  detail?: string
}

/** Return whether each word of a text is in an option. */
export function has({ label, hint = "", detail = "", value }: Option, text: string): boolean {
  const all = `${label} ${hint} ${detail} ${value}`.toLowerCase()
  return text
    .toLowerCase()
    .split(/\s+/)
    .every((each) => all.includes(each))
}

/** A choice of many, found by typing; with `onSearch` somebody else searches. */
export function Combobox({
  id,
  name,
  options,
  value,
  onChange,
  onSearch,
  onOpen,
  busy = false,
  note,
  placeholder,
  invalid = false,
  describedBy,
}: {
  id?: string
  /** What it is called where it has no label. */
  name?: string
  options: readonly Option[]
  value: Option | null
  onChange: (value: Option | null) => void
  onSearch?: (text: string) => void
  onOpen?: () => void
  busy?: boolean
  /** What is said in the place of choices: that there are none, or why. */
  note?: string | null
  placeholder?: string
  invalid?: boolean
  describedBy?: string | undefined
}) {
  const { value: key, label } = value ?? {}
  // What is typed is reset to another object, though it is the same choice.
  const held = useMemo(
    () => (key === undefined || label === undefined ? null : { value: key, label }),
    [key, label],
  )
  return (
    <Base.Root
      items={options}
      value={held}
      onValueChange={onChange}
      itemToStringLabel={(each: Option) => each.label}
      isItemEqualToValue={(one: Option, other: Option) => one.value === other.value}
      filter={onSearch === undefined ? has : null}
      autoHighlight
      onInputValueChange={(text, { reason }) => {
        if (reason === "input-change" || reason === "input-clear") onSearch?.(text)
      }}
      onOpenChange={(open) => {
        if (open) onOpen?.()
      }}
    >
      <div className="relative">
        <Base.Input
          id={id}
          aria-label={name}
          placeholder={placeholder}
          aria-invalid={invalid || undefined}
          aria-describedby={describedBy}
          className="h-7 w-full rounded-md border border-input bg-background px-2 pr-7 text-foreground placeholder:text-muted-foreground aria-invalid:border-destructive"
        />
        <Base.Trigger
          aria-label={t`Show the choices`}
          className="absolute inset-y-0 right-0 inline-flex w-7 items-center justify-center text-muted-foreground"
        >
          {busy ? (
            <LoaderCircle aria-hidden className="size-3.5 animate-spin" />
          ) : (
            <ChevronDown aria-hidden className="size-3.5" />
          )}
        </Base.Trigger>
      </div>
      <Base.Portal>
        <Base.Positioner sideOffset={4} align="start" className="z-[60]">
          <Base.Popup className="max-h-72 w-(--anchor-width) min-w-48 overflow-auto rounded-md border bg-popover p-1 shadow-lg outline-none">
            <Base.Empty className="px-2 py-1 text-muted-foreground empty:hidden">
              {note ?? (busy ? t`Looking…` : t`Nothing matches`)}
            </Base.Empty>
            <Base.List>
              {(each: Option) => (
                <Base.Item
                  key={each.value}
                  value={each}
                  className={cx(
                    "flex min-h-7 cursor-pointer items-center gap-2 rounded-sm px-2 py-1 outline-none select-none",
                    "data-[highlighted]:bg-secondary",
                  )}
                >
                  <span className="min-w-0 flex-1">
                    <span className="block truncate">{each.label}</span>
                    {each.detail !== undefined && (
                      <span className="block text-xs text-muted-foreground">{each.detail}</span>
                    )}
                  </span>
                  {each.hint !== undefined && (
                    <span className="shrink-0 text-xs text-muted-foreground">{each.hint}</span>
                  )}
                  <Base.ItemIndicator>
                    <Check aria-hidden className="size-3.5" />
                  </Base.ItemIndicator>
                </Base.Item>
              )}
            </Base.List>
          </Base.Popup>
        </Base.Positioner>
      </Base.Portal>
    </Base.Root>
  )
}
