import { t } from "@lingui/core/macro"
import { ChevronLeft, ChevronRight, Link2, RotateCcw } from "lucide-react"
import type { Schemas } from "~/api/client"
import { cx } from "~/ui/class"
import { AppTile } from "./app"
import { nameOf } from "./apps"
import { type Call, lanesOf, overviewOf, type Row } from "./overview"

const ROW = 44
/** Where the line of a row is, from its top. */
const LINE = 30
const LANE = 12
const NARROWEST = 92

/** An integration as one drawing: an app a column, and each flow an arrow from what begins it to what it calls. */
export function IntegrationDrawing({
  flows,
  onChoose,
}: {
  flows: readonly Schemas["FlowOutline"][]
  onChoose: (flow: string) => void
}) {
  const { apps, rows, calls } = overviewOf(flows)
  const lanes = lanesOf(calls)
  const isRouted = rows.some((each) => each.from === apps.length)
  const gutter = calls.length > 0 || isRouted ? LANE * (Math.max(0, ...lanes) + 2) : 0
  const width = { minWidth: apps.length * NARROWEST + gutter }
  return (
    <figure
      aria-label={t`The flows, between the apps that they connect`}
      className="overflow-x-auto rounded-md border bg-card"
    >
      <div style={width} className="relative p-3">
        <div
          className="sticky top-0 z-10 grid bg-card pb-1"
          style={{
            gridTemplateColumns: `repeat(${apps.length}, minmax(0, 1fr))`,
            paddingRight: gutter,
          }}
        >
          {apps.map((app) => (
            <span key={app} className="flex min-w-0 flex-col items-center gap-1 px-1">
              <AppTile component={app} large />
              <span aria-hidden className="max-w-full truncate font-medium">
                {nameOf(app)}
              </span>
            </span>
          ))}
        </div>
        <div className="relative">
          <div aria-hidden className="absolute inset-y-0 left-0" style={{ right: gutter }}>
            {apps.map((app, at) => (
              <span
                key={app}
                className="absolute inset-y-0 border-l border-border"
                style={{ left: middle(at, apps.length) }}
              />
            ))}
          </div>
          <ol className="relative">
            {rows.map((row) => (
              <FlowRow
                key={row.flow.name}
                row={row}
                apps={apps}
                gutter={gutter}
                linked={calls.some(
                  ({ from, to }) => rows[from]?.flow === row.flow || rows[to]?.flow === row.flow,
                )}
                onChoose={() => onChoose(row.flow.name)}
              />
            ))}
          </ol>
          {calls.length > 0 && <Calls calls={calls} lanes={lanes} rows={rows} width={gutter} />}
        </div>
      </div>
    </figure>
  )
}

/** The middle of a column, of so many; the one behind the last is the edge. */
function middle(at: number, of: number): string {
  return at >= of ? "100%" : `${((at + 0.5) / of) * 100}%`
}

/** A flow: a dot where it begins, a line, and a tip at each app that it calls. */
function FlowRow({
  row,
  apps,
  gutter,
  linked,
  onChoose,
}: {
  row: Row
  apps: readonly string[]
  gutter: number
  linked: boolean
  onChoose: () => void
}) {
  const { flow, from, arrows, back } = row
  const ends = [from, ...arrows.map((each) => each.to)]
  const low = Math.min(...ends)
  const high = Math.max(...ends)
  const at = (column: number) => middle(column, apps.length)
  const to = arrows.map((each) => nameOf(apps[each.to] ?? "")).join(", ")
  const begins = from < apps.length ? nameOf(apps[from] ?? "") : t`another flow`
  const calls = [...arrows, { calls: back }].flatMap((each) => each.calls)
  const words = to === "" ? t`from ${begins}` : t`from ${begins} to ${to}`
  return (
    <li style={{ height: ROW, paddingRight: gutter }}>
      <button
        type="button"
        onClick={onChoose}
        aria-label={`${flow.title}: ${words}`}
        title={[`${flow.title}: ${words}`, ...calls].join("\n")}
        className="group relative block h-full w-full rounded-md text-primary hover:bg-accent"
      >
        <span
          className={cx(
            "absolute truncate px-1 text-xs leading-5 text-foreground group-hover:underline",
            low === high && from < apps.length ? "text-left" : "text-center",
          )}
          style={
            low === high && from < apps.length
              ? { top: 6, left: `calc(${at(from)} + 6px)`, right: 0 }
              : { top: 6, left: at(low), right: `calc(100% - ${at(high)})` }
          }
        >
          <span className="bg-card group-hover:bg-accent">{flow.title}</span>
        </span>
        <span
          className="absolute border-t-2 border-current"
          style={{ top: LINE, left: at(low), right: `calc(100% - ${at(high)})` }}
        />
        {linked && high < apps.length && (
          <span
            className="absolute right-0 border-t border-dashed border-muted-foreground"
            style={{ top: LINE, left: at(high) }}
          />
        )}
        <Mark left={at(from)} className="size-2.5 rounded-full bg-current" />
        {arrows.map((each) => (
          <Mark
            key={each.to}
            left={at(each.to)}
            className={each.to > from ? "-ml-1.75" : "ml-1.75"}
          >
            {each.to > from ? (
              <ChevronRight aria-hidden className="size-4" strokeWidth={3} />
            ) : (
              <ChevronLeft aria-hidden className="size-4" strokeWidth={3} />
            )}
          </Mark>
        ))}
        {back.length > 0 && (
          <Mark left={`calc(${at(from)} - 12px)`}>
            <RotateCcw aria-hidden className="size-3" />
          </Mark>
        )}
        {flow.shared && (
          <Mark left={`calc(${at(from)} + 14px)`} className="rounded-sm bg-card">
            <Link2 aria-hidden className="size-3.5" />
            <span className="sr-only">{t`one URL for all`}</span>
          </Mark>
        )}
      </button>
    </li>
  )
}

/** A mark on the line of a row. */
function Mark({
  left,
  className,
  children,
}: {
  left: string
  className?: string
  children?: React.ReactNode
}) {
  return (
    <span className={cx("absolute -translate-1/2", className)} style={{ left, top: LINE + 1 }}>
      {children}
    </span>
  )
}

/** The calls between flows: lines beside the rows, each with a tip at the flow that is started. */
function Calls({
  calls,
  lanes,
  rows,
  width,
}: {
  calls: readonly Call[]
  lanes: readonly number[]
  rows: readonly Row[]
  width: number
}) {
  const y = (row: number) => row * ROW + LINE + 1
  return (
    <svg
      role="img"
      aria-label={calls
        .map((each) => {
          const from = rows[each.from]?.flow.title ?? ""
          const to = rows[each.to]?.flow.title ?? ""
          return each.hands ? t`${from} hands its events on to ${to}` : t`${from} starts ${to}`
        })
        .join("; ")}
      width={width}
      height={rows.length * ROW}
      className="pointer-events-none absolute top-0 right-0 text-muted-foreground"
    >
      {calls.map(({ from, to }, at) => {
        const x = LANE * ((lanes[at] ?? 0) + 1)
        return (
          <g key={`${from} ${to}`} fill="none" stroke="currentColor" strokeWidth={1.5}>
            <path
              strokeDasharray="3 3"
              d={`M 0 ${y(from)} H ${x} V ${y(to)} H 2`}
              strokeLinejoin="round"
            />
            <path d={`M 6 ${y(to) - 4} L 1 ${y(to)} L 6 ${y(to) + 4}`} />
          </g>
        )
      })}
    </svg>
  )
}
