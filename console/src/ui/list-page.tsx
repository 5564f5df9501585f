import { t } from "@lingui/core/macro"
import { Search } from "lucide-react"
import { type ReactNode, useCallback, useEffect, useEffectEvent, useRef, useState } from "react"
import type { Rows } from "~/api/list"
import { Button } from "./button"
import { cx } from "./class"
import { Input } from "./field"
import { ErrorNotice, Notice, Pending } from "./notice"
import { Sheet } from "./sheet"
import { type Column, Table } from "./table"

const TYPING_MS = 250
const MOST = 10_000

/** A page that is a list: its name, what may be made, its filters, its rows, and beside it what is open. */
export function ListPage({
  title,
  tabs,
  count,
  actions,
  filters,
  children,
  sheet,
}: {
  title: string
  tabs?: ReactNode
  count?: number | null
  actions?: ReactNode
  filters?: ReactNode
  children: ReactNode
  sheet?: ReactNode
}) {
  return (
    <div className="flex h-full min-h-0">
      <section aria-label={title} className="flex min-w-0 flex-1 flex-col">
        <div className="flex min-h-10 flex-wrap items-center gap-2 px-4 pt-3">
          <h1 className={tabs === undefined ? "text-lg font-semibold" : "sr-only"}>{title}</h1>
          {tabs}
          {count != null && (
            <span className="figures pt-0.5 text-muted-foreground">
              {count > MOST ? `${MOST.toLocaleString()}+` : count.toLocaleString()}
            </span>
          )}
          <div className="ml-auto flex gap-2">{actions}</div>
        </div>
        <div className="flex flex-wrap items-center gap-2 px-4 py-2">{filters}</div>
        {children}
      </section>
      {sheet}
    </div>
  )
}

/** What a list shows, as the address has it: its filter, what is open of it, and which part of that. */
export type ListPlace<Filter extends object> = {
  filter: Filter
  open: string | undefined
  view: string | undefined
  onFilter: (filter: Filter) => void
  onOpen: (id: string | undefined, view?: string) => void
}

type TextName<Filter> = {
  [Name in keyof Filter]-?: string extends Filter[Name] ? Name : never
}[keyof Filter] &
  string

/** A list of one kind of things: filtered by texts and more, each opened in a sheet beside it. */
export function CataloguePage<Row, Filter extends object>({
  title,
  tabs,
  thing,
  icon,
  place,
  list,
  columns,
  idOf,
  texts = [],
  hints = {},
  filters,
  actions,
  none,
  sheet,
  whole,
  children,
}: {
  title: string
  /** The lists beside this one. */
  tabs?: ReactNode
  /** What one of them is, as the sheet is named. */
  thing: string
  icon: ReactNode
  place: ListPlace<Filter>
  list: Rows<Row>
  columns: readonly Column<Row>[]
  idOf: (row: Row) => string
  /** The filters that are typed: the first is the search. */
  texts?: readonly (readonly [TextName<Filter>, string])[]
  /** How some of these are written. */
  hints?: Partial<Record<TextName<Filter>, string>>
  filters?: ReactNode
  actions?: ReactNode
  /** What is said where nothing matches, and where there is nothing at all. */
  none: { matching: string; title: string; text: ReactNode }
  sheet: (open: string, close: () => void) => ReactNode
  /** A link to the page of what is open. */
  whole?: (open: string) => ReactNode
  children?: ReactNode
}) {
  const { filter, open, onFilter, onOpen } = place
  const close = useCallback(() => onOpen(undefined), [onOpen])
  const value = (name: TextName<Filter>) => filter[name] as string | undefined
  return (
    <ListPage
      title={title}
      tabs={tabs}
      count={list.total}
      actions={actions}
      filters={
        <>
          {texts.map(([name, label], at) => (
            <SearchBox
              key={name}
              label={label}
              hint={hints[name]}
              icon={at === 0}
              className={at === 0 ? undefined : "sm:w-36"}
              value={value(name)}
              onChange={(text) => onFilter({ ...filter, [name]: text })}
            />
          ))}
          {filters}
        </>
      }
      sheet={
        open !== undefined && (
          <Sheet label={thing} onClose={close} actions={whole?.(open)}>
            {sheet(open, close)}
          </Sheet>
        )
      }
    >
      <ListRows
        label={title}
        list={list}
        columns={columns}
        idOf={idOf}
        selected={open}
        onOpen={(row) => onOpen(idOf(row))}
        empty={
          Object.keys(filter).length > 0 ? (
            <Notice
              icon={icon}
              title={none.matching}
              action={
                <Button onClick={() => onFilter({} as Filter)}>{t`Remove all filters`}</Button>
              }
            />
          ) : (
            <Notice icon={icon} title={none.title}>
              {none.text}
            </Notice>
          )
        }
      />
      {children}
    </ListPage>
  )
}

/** The rows of a list, or that there are none, that they are being loaded, or why they cannot be. */
export function ListRows<Row>({
  label,
  list,
  columns,
  idOf,
  selected,
  onOpen,
  empty,
}: {
  label: string
  list: Rows<Row>
  columns: readonly Column<Row>[]
  idOf: (row: Row) => string
  selected: string | undefined
  onOpen: (row: Row) => void
  empty: ReactNode
}) {
  if (list.rows === undefined) return <Pending of={list} lines={12} />
  const further = list.further !== null && <Button onClick={list.further}>{t`Look further`}</Button>
  if (list.rows.length === 0) {
    return further === false ? (
      empty
    ) : (
      <Notice title={t`Nothing was found so far`} action={further} />
    )
  }
  return (
    <Table
      label={label}
      rows={list.rows}
      columns={columns}
      idOf={idOf}
      selected={selected}
      onOpen={onOpen}
      {...(further === false ? { onNearEnd: list.more } : { footer: further })}
      {...(list.error !== null && {
        footer: <ErrorNotice error={list.error} retry={list.refetch} />,
      })}
    />
  )
}

/** A text that filters a list as it is typed. */
export function SearchBox({
  label,
  hint,
  value,
  onChange,
  className,
  icon = true,
}: {
  label: string
  hint?: string | undefined
  value: string | undefined
  onChange: (value: string | undefined) => void
  className?: string | undefined
  icon?: boolean
}) {
  const [text, setText] = useState(value ?? "")
  const told = useRef(value ?? "")
  const tell = useEffectEvent(onChange)
  useEffect(() => {
    if ((value ?? "") === told.current) return
    told.current = value ?? ""
    setText(value ?? "")
  }, [value])
  useEffect(() => {
    if (text.trim() === told.current) return
    const timer = setTimeout(() => {
      told.current = text.trim()
      tell(told.current === "" ? undefined : told.current)
    }, TYPING_MS)
    return () => clearTimeout(timer)
  }, [text])
  return (
    <div className={cx("relative min-w-36 flex-1 sm:flex-none", className ?? "sm:w-56")}>
      {icon && (
        <Search aria-hidden className="absolute top-1.5 left-2 size-4 text-muted-foreground" />
      )}
      <Input
        type="search"
        aria-label={label}
        placeholder={label}
        title={hint}
        className={icon ? "pl-7" : undefined}
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
    </div>
  )
}

/** A filter by one of a few words; none of them shows all. */
export function Toggles<Value extends string>({
  label,
  options,
  value,
  onChange,
}: {
  label: string
  options: readonly (readonly [Value, ReactNode])[]
  value: Value | undefined
  onChange: (value: Value | undefined) => void
}) {
  return (
    <div role="group" aria-label={label} className="flex flex-wrap gap-1">
      {options.map(([each, shown]) => (
        <button
          type="button"
          key={each}
          aria-pressed={each === value}
          onClick={() => onChange(each === value ? undefined : each)}
          className={cx(
            "inline-flex h-7 items-center gap-1.5 rounded-md border px-2 text-xs",
            each === value
              ? "border-primary bg-accent text-accent-foreground"
              : "border-transparent text-muted-foreground hover:bg-secondary",
          )}
        >
          {shown}
        </button>
      ))}
    </div>
  )
}

/** A page of its own of something that lists show in a sheet. */
export function WholePage({ children }: { children: ReactNode }) {
  return (
    <div className="h-full overflow-auto">
      <div className="mx-auto max-w-5xl">{children}</div>
    </div>
  )
}
