import { useVirtualizer } from "@tanstack/react-virtual"
import {
  type KeyboardEvent,
  type ReactNode,
  useEffect,
  useRef,
  useState,
  useSyncExternalStore,
} from "react"
import { cx } from "./class"

export type Column<Row> = {
  key: string
  title: string
  /** The track of a CSS grid, such as `120px` or `minmax(0, 1fr)`. */
  width: string
  cell: (row: Row) => ReactNode
  className?: string
  /** Aligned at the end, as numbers and times are. */
  end?: boolean
  /**
   * Left out where the table is narrow, as beside an open sheet; with `most`, unless it is very wide. In
   * a narrow window it stands with its title in a second line of the row.
   */
  wide?: true | "most"
  /** Its text is shown whole: it wraps, and its row is as high as it needs. */
  wraps?: true
}

function cellClass<Row>({ wide, end }: Column<Row>, stacked: boolean): string {
  return cx(
    !stacked && wide === true && "hidden @3xl:block",
    !stacked && wide === "most" && "hidden @5xl:block",
    end === true && "text-right",
  )
}

const HEIGHT = 36
const STACKED_HEIGHT = 56
/** Windows in which no table has the width for all columns. */
const NARROW = "(max-width: 967px)"

/** Whether rows have two lines: by the window alone, so that none moves as a sheet opens beside them. */
function useStacked(): boolean {
  return useSyncExternalStore(
    (changed) => {
      const query = window.matchMedia(NARROW)
      query.addEventListener("change", changed)
      return () => query.removeEventListener("change", changed)
    },
    () => window.matchMedia(NARROW).matches,
  )
}

/** Return the share of the width that a column takes, 0 where its width is fixed. */
function shareOf<Row>({ width }: Column<Row>): number {
  return Number(/([\d.]+)fr/.exec(width)?.[1] ?? 0)
}

/** Return the cells of the columns that a narrow row has no place for: those that have something. */
export function restOf<Row>(row: Row, columns: readonly Column<Row>[]): [Column<Row>, ReactNode][] {
  return columns
    .filter((each) => each.wide !== undefined)
    .map((each): [Column<Row>, ReactNode] => [each, each.cell(row)])
    .filter(([, shown]) => shown !== null && shown !== undefined && shown !== false && shown !== "")
}
const NEAR_END = 20

/**
 * A table of which only the rows in sight are drawn. Arrow keys walk the rows, Enter opens one.
 *
 * Rows are laid out by their index alone: what is prepended keeps those in sight in their place.
 */
export function Table<Row>({
  label,
  rows,
  columns,
  idOf,
  selected,
  onOpen,
  onNearEnd,
  footer,
}: {
  label: string
  rows: readonly Row[]
  columns: readonly Column<Row>[]
  idOf: (row: Row) => string
  selected?: string | undefined
  onOpen: (row: Row) => void
  onNearEnd?: () => void
  footer?: ReactNode
}) {
  const scroller = useRef<HTMLDivElement>(null)
  const first = useRef<string | undefined>(undefined)
  const stacked = useStacked()
  const height = stacked ? STACKED_HEIGHT : HEIGHT
  const wraps = columns.some((each) => each.wraps === true)
  const rowsNow = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => height,
    overscan: 12,
    getItemKey: (at) => idOf(rows[at] as Row),
  })

  // What was prepended moves the scroll, not the rows in sight; at the top it simply appears.
  useEffect(() => {
    const box = scroller.current
    const before = first.current
    first.current = rows[0] === undefined ? undefined : idOf(rows[0])
    if (box === null || before === undefined || before === first.current) return
    const moved = rows.findIndex((each) => idOf(each) === before)
    if (moved > 0 && box.scrollTop > 0) box.scrollTop += moved * height
  }, [rows, idOf, height])

  // The heights of before were of other rows.
  const { measure } = rowsNow
  useEffect(() => measure(), [measure, stacked])

  const items = rowsNow.getVirtualItems()
  const lowest = items.at(-1)?.index ?? 0
  useEffect(() => {
    if (rows.length > 0 && lowest >= rows.length - NEAR_END) onNearEnd?.()
  }, [lowest, rows.length, onNearEnd])

  const [last, setLast] = useState(selected)
  if (selected !== undefined && selected !== last) setLast(selected)
  useEffect(() => {
    // What is open beside the list has closed, with what had the focus: it goes back to the row.
    if (selected !== undefined || last === undefined) return
    if (document.activeElement !== document.body) return
    scroller.current?.querySelector<HTMLElement>("[role=row][tabindex='0']")?.focus()
  }, [selected, last])

  const focus = (at: number) => {
    const index = Math.max(0, Math.min(rows.length - 1, at))
    rowsNow.scrollToIndex(index)
    requestAnimationFrame(() => {
      scroller.current?.querySelector<HTMLElement>(`[data-index="${index}"]`)?.focus()
      const row = rows[index]
      if (selected !== undefined && row !== undefined) onOpen(row)
    })
  }
  const onKeyDown = (event: KeyboardEvent<HTMLElement>) => {
    if (event.target !== event.currentTarget) return
    const at = Number(event.currentTarget.dataset["index"])
    const steps: Record<string, number> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      j: at + 1,
      k: at - 1,
      PageDown: at + 15,
      PageUp: at - 15,
      Home: 0,
      End: rows.length - 1,
    }
    const to = steps[event.key]
    const row = rows[at]
    if (to !== undefined && !event.metaKey && !event.ctrlKey && !event.altKey) focus(to)
    else if (event.key === "Enter" && row !== undefined) onOpen(row)
    else return
    event.preventDefault()
  }

  const tracks = (some: readonly Column<Row>[]) => some.map((each) => each.width).join(" ")
  const narrow = columns.filter((each) => each.wide === undefined)
  const widths = {
    "--narrow": tracks(narrow).replaceAll(/minmax\([^,]+/g, "minmax(0"),
    "--middle": tracks(columns.filter((each) => each.wide !== "most")),
    "--tracks": tracks(columns),
  }
  const grid = cx(
    "grid grid-cols-(--narrow) items-center gap-x-3 px-4",
    !stacked && "@3xl:grid-cols-(--middle) @5xl:grid-cols-(--tracks)",
  )
  const inLine = stacked ? narrow : columns
  const tabbed = rows.findIndex((each) => idOf(each) === last)
  return (
    <div
      role="grid"
      aria-label={label}
      aria-rowcount={rows.length + 1}
      ref={scroller}
      style={widths as React.CSSProperties}
      className="@container min-h-0 flex-1 overflow-auto overscroll-contain"
    >
      <div role="rowgroup" className="sticky top-0 z-10 border-b bg-background">
        <div role="row" aria-rowindex={1} className={cx(grid, "h-8 text-xs text-muted-foreground")}>
          {inLine.map((each) => (
            <span
              role="columnheader"
              key={each.key}
              className={cx("truncate", cellClass(each, stacked))}
            >
              {each.title}
            </span>
          ))}
        </div>
      </div>
      <div role="rowgroup" className="relative" style={{ height: rowsNow.getTotalSize() }}>
        {items.map((item) => {
          const row = rows[item.index] as Row
          const id = idOf(row)
          return (
            <div
              role="row"
              key={item.key}
              ref={wraps ? rowsNow.measureElement : undefined}
              data-index={item.index}
              aria-rowindex={item.index + 2}
              aria-selected={id === selected}
              tabIndex={item.index === Math.max(0, tabbed) ? 0 : -1}
              onKeyDown={onKeyDown}
              onClick={(event) => {
                const link = (event.target as Element).closest("a, button")
                if (link === null && window.getSelection()?.isCollapsed !== false) onOpen(row)
              }}
              style={{
                [wraps ? "minHeight" : "height"]: height,
                transform: `translateY(${item.start}px)`,
              }}
              className={cx(
                grid,
                stacked && "content-center py-1.5",
                "absolute inset-x-0 top-0 cursor-default border-b border-border/60 hover:bg-muted focus-visible:-outline-offset-2",
                id === selected && "bg-accent hover:bg-accent",
              )}
            >
              {inLine.map((each) => (
                <div
                  role="gridcell"
                  key={each.key}
                  className={cx(
                    "min-w-0",
                    each.wraps === true ? "py-1.5 wrap-anywhere" : "truncate",
                    cellClass(each, stacked),
                    each.className,
                  )}
                >
                  {each.cell(row)}
                </div>
              ))}
              {stacked && (
                <div
                  role="presentation"
                  className="col-span-full flex min-w-0 gap-x-3 text-xs text-muted-foreground"
                >
                  {restOf(row, columns).map(([each, shown]) => (
                    <div
                      role="gridcell"
                      key={each.key}
                      // One gives way wholly before the next: a pixel less cuts a short text off.
                      style={{ flexShrink: each.wide === "most" ? 1e12 : shareOf(each) ** 30 }}
                      className="min-w-0 truncate"
                    >
                      {each.title} <span className="text-foreground">{shown}</span>
                    </div>
                  ))}
                </div>
              )}
            </div>
          )
        })}
      </div>
      {footer}
    </div>
  )
}
