import { Search } from "lucide-react"
import { type ReactNode, useEffect, useRef, useState } from "react"
import type { Rows } from "~/api/list"
import { cx } from "./class"
import { Input } from "./field"
import { ErrorNotice, Loading } from "./notice"
import { type Column, Table } from "./table"

const TYPING_MS = 250
const MOST = 10_000

/** A page that is a list: its name, what may be made, its filters, its rows, and beside it what is open. */
export function ListPage({
  title,
  count,
  actions,
  filters,
  children,
  sheet,
}: {
  title: string
  count?: number | null
  actions?: ReactNode
  filters?: ReactNode
  children: ReactNode
  sheet?: ReactNode
}) {
  return (
    <div className="flex h-full min-h-0">
      <section aria-label={title} className="flex min-w-0 flex-1 flex-col">
        <div className="flex min-h-10 items-center gap-2 px-4 pt-3">
          <h1 className="text-lg font-semibold">{title}</h1>
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
  if (list.rows === undefined) {
    return list.error === null ? (
      <Loading lines={12} />
    ) : (
      <ErrorNotice error={list.error} retry={list.again} />
    )
  }
  if (list.rows.length === 0) return empty
  return (
    <Table
      label={label}
      rows={list.rows}
      columns={columns}
      idOf={idOf}
      selected={selected}
      onOpen={onOpen}
      onNearEnd={list.more}
      {...(list.error === null
        ? {}
        : { footer: <ErrorNotice error={list.error} retry={list.again} /> })}
    />
  )
}

/** A text that filters a list as it is typed. */
export function SearchBox({
  label,
  value,
  onChange,
  className,
  icon = true,
}: {
  label: string
  value: string | undefined
  onChange: (value: string | undefined) => void
  className?: string
  icon?: boolean
}) {
  const [text, setText] = useState(value ?? "")
  const told = useRef(value ?? "")
  useEffect(() => {
    if ((value ?? "") === told.current) return
    told.current = value ?? ""
    setText(value ?? "")
  }, [value])
  useEffect(() => {
    if (text.trim() === told.current) return
    const timer = setTimeout(() => {
      told.current = text.trim()
      onChange(told.current === "" ? undefined : told.current)
    }, TYPING_MS)
    return () => clearTimeout(timer)
  }, [text, onChange])
  return (
    <div className={cx("relative w-full", className ?? "sm:w-56")}>
      {icon && (
        <Search aria-hidden className="absolute top-1.5 left-2 size-4 text-muted-foreground" />
      )}
      <Input
        type="search"
        aria-label={label}
        placeholder={label}
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
export function WholePage({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className="h-full overflow-auto" aria-label={title}>
      <div className="mx-auto max-w-5xl">{children}</div>
    </div>
  )
}
