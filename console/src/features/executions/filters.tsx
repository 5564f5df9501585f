import { Popover } from "@base-ui/react/popover"
import { t } from "@lingui/core/macro"
import { ListFilter, Search, X } from "lucide-react"
import { type ReactNode, type SubmitEvent, useRef, useState } from "react"
import { STATES, type ExecutionState } from "~/api/execution"
import { Button, buttonClass } from "~/ui/button"
import { cx } from "~/ui/class"
import { Field, Input } from "~/ui/field"
import { StateMark } from "~/ui/state"
import { type Filter, millisecondsOf, spelledOut, timeHint, timeOf } from "./filter"

type Name = Exclude<keyof Filter, "key" | "state" | "dead">
type FilterProps = { filter: Filter; onFilter: (filter: Filter) => void }

/** The fields behind the button, in groups: name, label, and what it takes. */
const groups = (): [string, [Name, string, string][]][] => [
  [
    t`Whose`,
    [
      ["customer", t`Customer`, t`name or id`],
      ["instance", t`Instance`, t`name or id`],
      ["integration", t`Integration`, t`name`],
      ["version", t`Version`, t`number, target or hash`],
      ["flow", t`Flow`, t`name`],
      ["trigger", t`Trigger`, t`name, or its component’s`],
    ],
  ],
  [
    t`Why`,
    [
      ["reason", t`Reason contains`, ""],
      ["failure_kind", t`Kind of error`, "Unauthorized"],
      ["component", t`Component that failed`, "salesforce"],
      ["status", t`HTTP status`, "401"],
    ],
  ],
  [
    t`When`,
    [
      ["since", t`Since`, t`2h, yesterday 10:00`],
      ["until", t`Until`, t`1h, 14:30`],
      ["min_ms", t`Ran at least`, "5 s"],
    ],
  ],
  [
    t`Of what`,
    [
      ["replay_of", t`Replay of`, "exe_…"],
      ["bulk", t`Bulk`, "blk_…"],
      ["parent", t`Started by`, "exe_…"],
    ],
  ],
]

/** The fields that narrow a search of payloads, too. */
export const OF_SEARCHES: readonly Name[] = [
  "customer",
  "instance",
  "integration",
  "version",
  "flow",
  "trigger",
  "failure_kind",
  "component",
  "status",
  "since",
  "until",
]

/**
 * The filters of executions: states at hand, all others behind a button, as chips once set.
 *
 * `children` stand before them; `only` leaves out all other fields.
 */
export function Filters({
  filter,
  onFilter,
  only,
  children,
}: FilterProps & { only?: readonly Name[]; children: ReactNode }) {
  const bar = useRef<HTMLDivElement>(null)
  const toggle = (state: ExecutionState) => {
    const now = filter.state ?? []
    const next = now.includes(state) ? now.filter((each) => each !== state) : [...now, state]
    onFilter({ ...without(filter, "state"), ...(next.length > 0 ? { state: next } : {}) })
  }
  const labels = new Map<Name, string>(
    groups().flatMap(([, fields]) => fields.map(([name, label]): [Name, string] => [name, label])),
  )
  labels.set("cause", t`Cause`)
  const chips = [...labels].filter(([name]) => filter[name] !== undefined)
  const remove = (name: keyof Filter, at: number) => {
    onFilter(without(filter, name))
    // What had the focus is gone: the chip in its place has it, or what opens the filters.
    requestAnimationFrame(() => {
      const left = bar.current?.querySelectorAll<HTMLElement>("[data-chip]") ?? []
      const next = left[Math.min(at, left.length - 1)]
      ;(next ?? bar.current?.querySelector<HTMLElement>("[data-more]"))?.focus()
    })
  }
  const first = filter.dead === true ? 1 : 0
  return (
    <div className="@container">
      <div ref={bar} className="flex flex-wrap items-center gap-2 px-4 py-2">
        {children}
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
        <MoreFilters filter={filter} onFilter={onFilter} only={only} />
        {filter.dead === true && (
          <Chip label={t`Not dismissed`} value="" onRemove={() => remove("dead", 0)} />
        )}
        {chips.map(([name, label], at) => (
          <Chip
            key={name}
            label={label}
            value={textOf(filter, name)}
            onRemove={() => remove(name, first + at)}
          />
        ))}
        {chips.length + first > 1 && (
          <Button
            look="ghost"
            className="h-6 text-xs"
            onClick={() => onFilter(filter.key === undefined ? {} : { key: filter.key })}
          >
            {t`Remove all`}
          </Button>
        )}
      </div>
    </div>
  )
}

function without(filter: Filter, name: keyof Filter): Filter {
  return { ...filter, [name]: undefined }
}

function textOf(filter: Filter, name: Name): string {
  const value = filter[name]
  return name === "min_ms" && typeof value === "number" ? spelledOut(value) : String(value ?? "")
}

/** A box with the record that a list is about. */
export function KeySearch({ filter, onFilter }: FilterProps) {
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

type Only = { only?: readonly Name[] | undefined }

function MoreFilters({ filter, onFilter, only }: FilterProps & Only) {
  const [open, setOpen] = useState(false)
  return (
    <Popover.Root open={open} onOpenChange={setOpen}>
      <Popover.Trigger className={buttonClass("outline")} data-more>
        <ListFilter aria-hidden />
        {t`Filter`}
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Positioner sideOffset={4} align="start" className="z-40">
          <Popover.Popup
            aria-label={t`Filter`}
            className="max-h-(--available-height) w-[min(480px,calc(100vw-24px))] overflow-auto rounded-lg border bg-popover p-4 shadow-xl outline-none"
          >
            <FilterForm
              filter={filter}
              only={only}
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

function FilterForm({ filter, onFilter, only }: FilterProps & Only) {
  const shown = groups()
    .map(([title, fields]) => ({
      title,
      fields: fields.filter(([name]) => only?.includes(name) ?? true),
    }))
    .filter(({ fields }) => fields.length > 0)
  const names = shown.flatMap(({ fields }) => fields.map(([name]) => name))
  const [texts, setTexts] = useState<Partial<Record<Name, string>>>(() =>
    Object.fromEntries(names.map((name) => [name, textOf(filter, name)])),
  )
  const wrong: Partial<Record<Name, string>> = {}
  const given = (name: Name) => texts[name]?.trim() ?? ""
  if (given("status") !== "" && !/^[1-5]\d\d$/.test(given("status"))) {
    wrong.status = t`a number from 100 to 599`
  }
  if (given("min_ms") !== "" && millisecondsOf(given("min_ms")) === null) {
    wrong.min_ms = t`such as 500 ms, 5 s, or 2 min`
  }
  if (given("integration") === "" && /^\d{1,5}$|^[a-z]/.test(given("version"))) {
    wrong.version = t`say of which integration`
  }
  for (const name of ["since", "until"] as const) {
    if (given(name) !== "" && timeOf(given(name)) === null) {
      wrong[name] = timeHint()
    }
  }
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    if (Object.keys(wrong).length > 0) return
    const next: Filter = { ...filter }
    for (const name of names) {
      const text = given(name)
      if (text === "") next[name] = undefined
      else if (name === "status") next.status = Number(text)
      else if (name === "min_ms") next.min_ms = millisecondsOf(text) ?? 0
      else next[name] = text
    }
    onFilter(next)
  }
  return (
    <form onSubmit={submit} className="flex flex-col gap-4">
      {shown.map(({ title, fields }) => (
        <fieldset key={title}>
          <legend className="pb-1 text-xs text-muted-foreground">{title}</legend>
          <div className="grid grid-cols-2 items-start gap-x-3 gap-y-2">
            {fields.map(([name, label, placeholder]) => (
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
        </fieldset>
      ))}
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
        data-chip
        aria-label={t`Remove the filter ${label}`}
        onClick={onRemove}
        onKeyDown={(event) => {
          if (event.key !== "Backspace" && event.key !== "Delete") return
          event.preventDefault()
          onRemove()
        }}
        className="inline-flex size-6 shrink-0 items-center justify-center rounded-md hover:bg-border"
      >
        <X aria-hidden className="size-3" />
      </button>
    </span>
  )
}
