import { Popover } from "@base-ui/react/popover"
import { t } from "@lingui/core/macro"
import { ListFilter, Search, X } from "lucide-react"
import { type SubmitEvent, useState } from "react"
import { STATES, type ExecutionState } from "~/api/execution"
import { Button, buttonClass } from "~/ui/button"
import { cx } from "~/ui/class"
import { Field, Input } from "~/ui/field"
import { StateMark } from "~/ui/state"
import { type Filter, timeHint, timeOf } from "./filter"

type Name = Exclude<keyof Filter, "state" | "dead">

const names = (): [Name, string, string][] => [
  ["customer", t`Customer`, t`name or id`],
  ["instance", t`Instance`, t`name or id`],
  ["integration", t`Integration`, t`name`],
  ["flow", t`Flow`, t`name`],
  ["status", t`HTTP status`, "401"],
  ["reason", t`Reason contains`, ""],
  ["since", t`Since`, t`2h, yesterday, 13:00`],
  ["until", t`Until`, t`1h, 14:30`],
]
const others = (): Partial<Record<keyof Filter, string>> => ({
  version: t`Version`,
  cause: t`Cause`,
  parent: t`Started by`,
  bulk: t`Bulk`,
})

/** The filters of executions: states and records at hand, all others behind a button, as chips once set. */
export function Filters({
  filter,
  onFilter,
}: {
  filter: Filter
  onFilter: (filter: Filter) => void
}) {
  const toggle = (state: ExecutionState) => {
    const now = filter.state ?? []
    const next = now.includes(state) ? now.filter((each) => each !== state) : [...now, state]
    onFilter({ ...without(filter, "state"), ...(next.length > 0 ? { state: next } : {}) })
  }
  const labels = {
    ...Object.fromEntries(names().map(([name, label]) => [name, label])),
    ...others(),
  }
  const chips = Object.keys(labels).filter((name) => filter[name as Name] !== undefined) as Name[]
  return (
    <div className="@container">
      <div className="flex flex-wrap items-center gap-2 px-4 py-2">
        <KeySearch key={filter.key ?? ""} filter={filter} onFilter={onFilter} />
        <div role="group" aria-label={t`States`} className="flex flex-wrap gap-1">
          {STATES.map((each) => (
            <button
              type="button"
              key={each}
              aria-pressed={filter.state?.includes(each) === true}
              onClick={() => toggle(each)}
              className={cx(
                "inline-flex h-7 items-center gap-1.5 rounded-md border px-2 text-xs",
                filter.state?.includes(each) === true
                  ? "border-primary bg-accent text-accent-foreground"
                  : "border-transparent text-muted-foreground hover:bg-secondary",
              )}
            >
              <StateMark state={each} />
              <span aria-hidden className="hidden @3xl:inline">
                {each}
              </span>
            </button>
          ))}
        </div>
        <MoreFilters filter={filter} onFilter={onFilter} />
        {filter.dead === true && (
          <Chip
            label={t`Not dismissed`}
            value=""
            onRemove={() => onFilter(without(filter, "dead"))}
          />
        )}
        {chips.map((name) => (
          <Chip
            key={name}
            label={labels[name] ?? name}
            value={String(filter[name])}
            onRemove={() => onFilter(without(filter, name))}
          />
        ))}
      </div>
    </div>
  )
}

function without(filter: Filter, name: keyof Filter): Filter {
  return { ...filter, [name]: undefined }
}

function KeySearch({ filter, onFilter }: { filter: Filter; onFilter: (filter: Filter) => void }) {
  const [text, setText] = useState(filter.key ?? "")
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    const key = text.trim()
    onFilter({ ...without(filter, "key"), ...(key === "" ? {} : { key }) })
  }
  return (
    <form onSubmit={submit} role="search" className="relative w-full sm:w-56">
      <Search aria-hidden className="absolute top-1.5 left-2 size-4 text-muted-foreground" />
      <Input
        type="search"
        aria-label={t`Find by record`}
        placeholder={t`Record, e.g. an order’s number`}
        className="pl-7"
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
    </form>
  )
}

function MoreFilters({ filter, onFilter }: { filter: Filter; onFilter: (filter: Filter) => void }) {
  const [open, setOpen] = useState(false)
  return (
    <Popover.Root open={open} onOpenChange={setOpen}>
      <Popover.Trigger className={buttonClass("outline")}>
        <ListFilter aria-hidden />
        {t`Filter`}
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Positioner sideOffset={4} align="start" className="z-40">
          <Popover.Popup
            aria-label={t`Filter`}
            className="w-[min(420px,calc(100vw-24px))] rounded-lg border bg-popover p-4 shadow-xl outline-none"
          >
            <FilterForm
              filter={filter}
              onFilter={(next) => {
                setOpen(false)
                onFilter(next)
              }}
            />
          </Popover.Popup>
        </Popover.Positioner>
      </Popover.Portal>
    </Popover.Root>
  )
}

function FilterForm({ filter, onFilter }: { filter: Filter; onFilter: (filter: Filter) => void }) {
  const [texts, setTexts] = useState<Partial<Record<Name, string>>>(() =>
    Object.fromEntries(names().map(([name]) => [name, String(filter[name] ?? "")])),
  )
  const wrong: Partial<Record<Name, string>> = {}
  const status = texts.status?.trim() ?? ""
  if (status !== "" && !/^[1-5]\d\d$/.test(status)) wrong.status = t`a number from 100 to 599`
  for (const name of ["since", "until"] as const) {
    const text = texts[name]?.trim() ?? ""
    if (text !== "" && timeOf(text) === null) wrong[name] = timeHint()
  }
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    if (Object.keys(wrong).length > 0) return
    const next: Filter = { ...filter }
    for (const [name] of names()) {
      const text = texts[name]?.trim() ?? ""
      if (text === "") next[name] = undefined
      else if (name === "status") next.status = Number(text)
      else next[name] = text
    }
    onFilter(next)
  }
  return (
    <form onSubmit={submit} className="flex flex-col gap-4">
      <div className="grid grid-cols-2 gap-3">
        {names().map(([name, label, placeholder]) => (
          <Field key={name} label={label} error={wrong[name]}>
            {(control) => (
              <Input
                {...control}
                placeholder={placeholder}
                value={texts[name] ?? ""}
                onChange={(event) => setTexts({ ...texts, [name]: event.target.value })}
              />
            )}
          </Field>
        ))}
      </div>
      <div className="flex justify-end">
        <Button type="submit" look="primary">{t`Apply`}</Button>
      </div>
    </form>
  )
}

function Chip({ label, value, onRemove }: { label: string; value: string; onRemove: () => void }) {
  return (
    <span className="inline-flex h-6 max-w-72 min-w-0 items-center gap-1 rounded-md bg-secondary pl-2 text-xs">
      <span className="shrink-0 text-muted-foreground">{label}</span>
      <span className="truncate" title={value}>
        {value}
      </span>
      <button
        type="button"
        aria-label={t`Remove the filter ${label}`}
        onClick={onRemove}
        className="inline-flex size-6 shrink-0 items-center justify-center rounded-md hover:bg-border"
      >
        <X aria-hidden className="size-3" />
      </button>
    </span>
  )
}
