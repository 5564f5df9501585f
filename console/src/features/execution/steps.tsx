import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { ChevronLeft, ChevronRight, CornerDownRight, UserCheck } from "lucide-react"
import { useInfiniteQuery, useQuery } from "@tanstack/react-query"
import { useVirtualizer } from "@tanstack/react-virtual"
import { type KeyboardEvent, type ReactNode, useEffect, useMemo, useRef } from "react"
import {
  type Execution,
  isOver,
  outlineQuery,
  type Step,
  stepsQuery,
  traceQuery,
} from "~/api/execution"
import { preview } from "~/api/exact"
import { cx } from "~/ui/class"
import { IconButton } from "~/ui/button"
import { ErrorNotice, Loading, Notice } from "~/ui/notice"
import { StateMark } from "~/ui/state"
import { length } from "~/ui/time"
import type { PlaceProps } from "./detail"
import { EditedMark } from "./edited"
import { EventPanel } from "./event"
import { StepPanel } from "./step"
import { itemsText, type Line, linesOf, lostItems, sourceOf, spanOf, type TraceRow } from "./tree"

/** The flow's outline with what happened laid over it, the timeline beside it, the selected step below. */
export function Steps({ execution, place, onPlace }: PlaceProps & { execution: Execution }) {
  const query = useInfiniteQuery(stepsQuery(execution.id))
  const outline = useQuery(outlineQuery(execution.id))
  const { hasNextPage, isFetching, fetchNextPage } = query
  useEffect(() => {
    if (hasNextPage && !isFetching) void fetchNextPage()
  }, [hasNextPage, isFetching, fetchNextPage])
  const steps = query.data
  const laid = outline.data ?? null
  const over = isOver(execution.state)
  const lines = useMemo(() => linesOf(steps ?? [], laid, over), [steps, laid, over])

  // Lines are drawn once, as the outline has them: none moves under the pointer as it comes.
  if (steps === undefined || outline.isPending) {
    if (query.isError) {
      return <ErrorNotice error={query.error} retry={() => void query.refetch()} />
    }
    return <Loading />
  }
  const selected =
    lines.find(
      (each) =>
        each.key === place.step ||
        (each.kind === "trigger" && place.step === "trigger") ||
        each.steps.some((s) => s.path === place.step),
    ) ?? chosen(lines, execution)
  if (selected === undefined) return <Notice title={t`No step was recorded yet`} />
  const step =
    selected.steps.find((each) => each.path === place.step) ??
    selected.steps.find((each) => each.status === "failed") ??
    selected.steps.at(-1)
  const open = (line: Line) =>
    onPlace({ view: place.view, step: line.steps.at(-1)?.path ?? line.key })
  return (
    <div className="-mx-4 -mt-4 flex flex-col">
      <Lines
        lines={lines}
        steps={steps}
        selected={selected}
        editedBy={execution.edited_by}
        onOpen={open}
      />
      {laid?.stopped != null && laid.at === null && (
        <p className="px-4 pt-3 text-muted-foreground">
          <Trans>It could not be followed further: {laid.stopped}</Trans>
        </p>
      )}
      {selected.kind === "trigger" ? (
        <EventPanel execution={execution} />
      ) : (
        <section aria-label={selected.title} className="pt-3">
          <div className="flex flex-wrap items-center gap-2 px-4 pb-2">
            <StateMark state={selected.state} />
            <h2 className="min-w-0 font-semibold break-words">{selected.title}</h2>
            {step !== undefined && <Source steps={[step]} />}
            {selected.steps.length > 1 && step !== undefined && (
              <Stepper
                steps={selected.steps}
                step={step}
                onStep={(path) => onPlace({ ...place, step: path })}
              />
            )}
          </div>
          {step === undefined ? (
            <Unrecorded
              execution={execution}
              line={selected}
              onStep={(path) => onPlace({ ...place, view: "steps", step: path })}
            />
          ) : (
            <StepPanel execution={execution} step={step} place={place} onPlace={onPlace} />
          )}
        </section>
      )}
    </div>
  )
}

/** What is said of a part of the flow of which no step was recorded: its own error, or of its items. */
function Unrecorded({
  execution,
  line,
  onStep,
}: {
  execution: Execution
  line: Line
  onStep: (path: string) => void
}) {
  const lost = (line.items?.failed ?? 0) > 0
  const enabled = lost || (execution.state === "failed" && line.taken === true)
  const { data, hasNextPage, isFetching, fetchNextPage } = useInfiniteQuery({
    ...traceQuery(execution.id),
    enabled,
  })
  useEffect(() => {
    if (enabled && hasNextPage && !isFetching) void fetchNextPage()
  }, [enabled, hasNextPage, isFetching, fetchNextPage])
  const rows = data?.pages.flatMap((each) => each.items) ?? []
  if (lost) return <LostItems line={line} rows={rows} onStep={onStep} />
  const error = rows.findLast(
    (each) => each.error !== null && JSON.stringify(each.path) === line.key,
  )?.error
  if (enabled && error != null) {
    return <p className="px-4 pb-4 break-words text-failed-text">{error.message || error.kind}</p>
  }
  return (
    <p className="px-4 pb-4 text-muted-foreground">
      {line.taken === true
        ? t`The flow came here; nothing was recorded, as nothing was called.`
        : line.taken === false
          ? t`The flow did not come here.`
          : t`Whether the flow came here is not known: of Python, only its steps are recorded.`}
    </p>
  )
}

const MOST_ITEMS = 100

/** The items of a loop that failed, and why: each leads to the step of which it did. */
function LostItems({
  line,
  rows,
  onStep,
}: {
  line: Line
  rows: readonly TraceRow[]
  onStep: (path: string) => void
}) {
  const lost = lostItems(line.key, rows)
  return (
    <ol aria-label={t`Items that failed`} className="flex flex-col gap-1 px-4 pb-4">
      {lost.slice(0, MOST_ITEMS).map(({ item, error, step }) => (
        <li key={item} className="flex min-w-0 gap-3">
          {step === undefined ? (
            <span className="shrink-0">{t`Item ${item}`}</span>
          ) : (
            <button type="button" className="link shrink-0" onClick={() => onStep(step)}>
              {t`Item ${item}`}
            </button>
          )}
          <span className="min-w-0 break-words text-failed-text">
            {error == null ? t`failed` : error.message || error.kind}
          </span>
        </li>
      ))}
      {line.items !== null && line.items.failed > Math.min(lost.length, MOST_ITEMS) && (
        <li className="text-muted-foreground">{t`The log says of each why it failed.`}</li>
      )}
    </ol>
  )
}

const HEIGHT = 28
/** Of more lines than these a part is in sight: fewer scroll with the page. */
const MOST_WHOLE = 16

function Lines({
  lines,
  steps,
  selected,
  editedBy,
  onOpen,
}: {
  lines: Line[]
  steps: Step[]
  selected: Line
  editedBy: string | null
  onOpen: (line: Line) => void
}) {
  const scroller = useRef<HTMLDivElement>(null)
  const span = useMemo(() => spanOf(steps), [steps])
  const rows = useVirtualizer({
    count: lines.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => HEIGHT,
    overscan: 10,
    paddingStart: 4,
    paddingEnd: 4,
  })
  const at = lines.indexOf(selected)
  const { scrollToIndex } = rows
  useEffect(() => scrollToIndex(at), [at, scrollToIndex])
  const walk = (event: KeyboardEvent) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0
    const line = lines[at + step]
    if (step === 0 || line === undefined) return
    event.preventDefault()
    onOpen(line)
  }
  return (
    <div
      ref={scroller}
      role="listbox"
      aria-label={t`Steps`}
      aria-activedescendant={`line-${at}`}
      tabIndex={0}
      onKeyDown={walk}
      className={cx(
        "border-b -outline-offset-2",
        lines.length > MOST_WHOLE && "max-h-[46vh] overflow-auto",
      )}
    >
      <div role="presentation" className="relative" style={{ height: rows.getTotalSize() }}>
        {rows.getVirtualItems().map((item) => {
          const line = lines[item.index] as Line
          return (
            <div
              key={item.key}
              id={`line-${item.index}`}
              role="option"
              aria-selected={line === selected}
              aria-posinset={item.index + 1}
              aria-setsize={lines.length}
              onClick={() => onOpen(line)}
              style={{ height: HEIGHT, transform: `translateY(${item.start}px)` }}
              className={cx(
                "absolute inset-x-0 top-0 grid cursor-default grid-cols-[minmax(0,1fr)] items-center gap-4 px-4 @2xl:grid-cols-[minmax(0,1fr)_minmax(160px,34%)]",
                line === selected ? "bg-accent" : "hover:bg-muted",
                line.taken === false && "text-muted-foreground",
              )}
            >
              <LineText line={line} editedBy={line.kind === "trigger" ? editedBy : null} />
              <Bars line={line} span={span} />
            </div>
          )
        })}
      </div>
    </div>
  )
}

function chosen(lines: Line[], execution: Execution): Line | undefined {
  const failed = execution.failure?.step
  return (
    lines.find((each) => each.here) ??
    (failed ? lines.find((each) => each.steps.some((step) => step.path === failed)) : undefined) ??
    lines.findLast((each) => each.state === "failed" && execution.state === "failed") ??
    lines.findLast((each) => each.state === "waiting" || each.state === "retrying") ??
    lines.findLast((each) => each.steps.length > 0) ??
    lines[0]
  )
}

function LineText({ line, editedBy }: { line: Line; editedBy: string | null }) {
  return (
    <div className="flex min-w-0 items-center gap-2" style={{ paddingLeft: line.depth * 16 }}>
      {line.state === null && line.taken === null ? (
        <span className="size-3.5 shrink-0" />
      ) : (
        <StateMark
          state={
            line.state ?? (line.taken === true && line.steps.length === 0 ? "succeeded" : null)
          }
        />
      )}
      <span
        className={cx(
          "shrink-0 truncate",
          line.kind === "block"
            ? "text-xs text-muted-foreground"
            : line.coded
              ? "max-w-[80%] font-mono text-xs"
              : "max-w-[60%] font-medium",
        )}
      >
        {line.title}
      </span>
      {line.times !== null && line.times > 1 && (
        <span className="figures text-xs text-muted-foreground">×{line.times}</span>
      )}
      {line.items !== null && line.items.failed > 0 && (
        <span className="figures text-xs text-failed-text">{itemsText(line.items)}</span>
      )}
      {line.here && <span className="text-xs text-waiting">{t`here`}</span>}
      <Source steps={line.steps} />
      {editedBy !== null && <EditedMark by={editedBy} />}
      <span className="min-w-0 truncate text-muted-foreground">{resultOf(line)}</span>
    </div>
  )
}

/** That steps were not run by this execution: taken over from the one that it replays, or said done. */
function Source({ steps }: { steps: readonly Step[] }) {
  const sources = steps.map(sourceOf)
  if (sources.includes("said")) return <Mark icon={<UserCheck />}>{t`said done`}</Mark>
  if (!sources.includes("copied")) return null
  const whole = sources.every((each) => each === "copied")
  return <Mark icon={<CornerDownRight />}>{whole ? t`from before` : t`partly from before`}</Mark>
}

function Mark({ icon, children }: { icon: ReactNode; children: ReactNode }) {
  return (
    <span className="inline-flex shrink-0 items-center gap-1 rounded-sm border border-dashed px-1 text-xs text-muted-foreground [&_svg]:size-3">
      <span aria-hidden>{icon}</span>
      {children}
    </span>
  )
}

function resultOf(line: Line): string {
  const step = line.steps.at(-1)
  if (step === undefined || line.kind === "trigger") return ""
  if (step.failure !== null) return preview(step.failure.message)
  const text = step.result?.text ?? ""
  return text === "true" || text === "null" ? "" : preview(text)
}

const COLOURS: Record<string, string> = {
  succeeded: "bg-succeeded/70",
  failed: "bg-failed",
  retrying: "bg-waiting/80",
}
const MOST_BARS = 60

function Bars({ line, span }: { line: Line; span: { from: number; length: number } }) {
  const own = line.steps.filter((each) => each.copied_from === null)
  const shown = own.slice(-MOST_BARS)
  const total = shown.reduce((sum, each) => sum + each.duration_ms, 0)
  return (
    <div className="hidden min-w-0 items-center gap-2 @2xl:flex">
      <div className="relative h-3 flex-1" aria-hidden>
        {own.length < line.steps.length && (
          <span
            title={t`ran before, in the execution that this one replays`}
            className="absolute inset-y-0.5 -left-1.5 w-1 rounded-[2px] border border-dashed border-muted-foreground"
          />
        )}
        {shown.map((each) => {
          const left = ((Date.parse(each.started_at) - span.from) / span.length) * 100
          const width = (each.duration_ms / span.length) * 100
          return (
            <span
              key={each.path}
              style={{
                left: `min(${left.toFixed(2)}%, calc(100% - 3px))`,
                width: `max(3px, ${Math.min(width, 100 - left).toFixed(2)}%)`,
              }}
              className={cx("absolute inset-y-0.5 rounded-[2px]", COLOURS[each.status])}
            />
          )
        })}
      </div>
      <span className="figures w-16 text-right text-xs whitespace-nowrap text-muted-foreground">
        {shown.length > 0
          ? line.kind !== "trigger" && length(total)
          : line.steps.length > 0 && line.kind !== "trigger" && t`before`}
      </span>
    </div>
  )
}

function Stepper({
  steps,
  step,
  onStep,
}: {
  steps: Step[]
  step: Step
  onStep: (path: string) => void
}) {
  const at = steps.indexOf(step)
  const go = (to: number) => {
    const found = steps[to]
    if (found !== undefined) onStep(found.path)
  }
  return (
    <span className="inline-flex items-center gap-1">
      <IconButton name={t`The time before`} onClick={() => go(at - 1)} disabled={at === 0}>
        <ChevronLeft aria-hidden />
      </IconButton>
      <span className="figures text-xs text-muted-foreground">
        <Trans>
          {at + 1} of {steps.length}
        </Trans>
      </span>
      <IconButton
        name={t`The next time`}
        onClick={() => go(at + 1)}
        disabled={at === steps.length - 1}
      >
        <ChevronRight aria-hidden />
      </IconButton>
    </span>
  )
}
