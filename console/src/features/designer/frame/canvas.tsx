import { t } from "@lingui/core/macro"
import { Plus, ZoomIn, ZoomOut, Scan } from "lucide-react"
import {
  memo,
  type PointerEvent as Pointer,
  type ReactNode,
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from "react"
import { IconButton } from "~/ui/button"
import { cx } from "~/ui/class"
import type { FlowOutline } from "../draft/types"
import type { Place } from "../tree/commands"
import { type Box, CARD, type Drawing, type Edge, type Gap, layOut } from "../tree/layout"
import { samePath } from "../tree/walk"
import type { Overlay } from "../run/rows"
import { ItemStepper } from "../run/stepper"
import { FlowCard, type Mark } from "./card"
import { blockWords } from "./words"

const MARGIN = 48
const BEYOND = 400
const STEPS = [0.25, 0.33, 0.5, 0.67, 0.8, 1, 1.25, 1.5]
const NEAR = 90

/** What is done with the drawing; without it, it is only looked at. */
export type Editing = {
  insert: (place: Place) => void
  drop: (key: string, place: Place) => void
  menu: (key: string) => ReactNode
}

/** A flow, drawn: the trigger, its steps below each other, branches beside each other. */
export const Canvas = memo(function Canvas({
  flow,
  selected,
  chosen,
  onSelect,
  marks,
  run,
  onItem,
  editing,
}: {
  flow: FlowOutline
  selected: string | null
  /** The keys of the steps that are selected together with it. */
  chosen?: ReadonlySet<string>
  onSelect: (key: string, extend: boolean) => void
  marks?: ReadonlyMap<string, Mark>
  /** What happened, laid over it. */
  run?: Overlay | undefined
  /** Show another item of a loop. */
  onItem?: (loop: string, at: number) => void
  editing?: Editing | undefined
}) {
  const drawing = useMemo(() => layOut(flow), [flow])
  const view = useRef<HTMLDivElement>(null)
  const [zoom, setZoom] = useState(1)
  const seen = useSeen(view, zoom)
  const shown = (box: Box) => seen === null || meets(seen, box)
  const drag = useDrag(drawing, zoom, view, editing)

  // It begins with the trigger in the middle.
  useLayoutEffect(() => {
    const box = view.current
    if (box !== null) box.scrollLeft = (box.scrollWidth - box.clientWidth) / 2
  }, [])

  // What is selected is in view, with the focus if the drawing had it.
  useLayoutEffect(() => {
    const card = drawing.cards.find((each) => each.key === selected)
    const gap = drawing.gaps.find((each) => each.key !== null && each.key === selected)
    const at = card ?? (gap && { x: gap.x, y: gap.y, width: 1, height: 1 })
    const box = view.current
    if (at === undefined || box === null) return
    reveal(box, at, zoom)
    const focus = document.activeElement
    if (box.dataset["focused"] !== undefined && (isLost(focus) || focus.matches("[data-step]"))) {
      box.querySelector<HTMLElement>(`[data-step="${CSS.escape(selected ?? "")}"]`)?.focus({
        preventScroll: true,
      })
    }
  }, [drawing, selected, zoom])

  const fit = () => {
    const box = view.current
    if (box === null) return
    const wanted = Math.min(
      (box.clientWidth - MARGIN) / drawing.width,
      (box.clientHeight - MARGIN) / drawing.height,
      1,
    )
    setZoom(STEPS.findLast((each) => each <= wanted) ?? STEPS[0] ?? 1)
  }
  const zoomBy = useCallback((by: 1 | -1) => {
    setZoom((now) => STEPS[STEPS.indexOf(now) + by] ?? now)
  }, [])
  useWheelZoom(view, zoomBy)
  const tabbed = drawing.cards.some((each) => each.key === selected) ? selected : "trigger"
  const pad = { left: MARGIN, top: MARGIN / 2 }
  return (
    <div className="relative min-h-0 flex-1 bg-muted">
      <div
        ref={view}
        data-drawing
        role="group"
        aria-label={t`Steps of ${flow.title}`}
        aria-roledescription={t`drawing of a flow`}
        className="absolute inset-0 overflow-auto outline-none"
        onFocus={(event) => (event.currentTarget.dataset["focused"] = "")}
        onBlur={(event) => {
          // A card that is drawn anew loses the focus to nothing; that is no leaving.
          if (event.relatedTarget !== null) delete event.currentTarget.dataset["focused"]
        }}
        {...drag.handlers}
      >
        <div
          className="relative mx-auto"
          style={{
            width: drawing.width * zoom + 2 * pad.left,
            height: drawing.height * zoom + 4 * pad.top,
          }}
        >
          <div
            className="absolute origin-top-left"
            style={{ ...pad, transform: `scale(${zoom})`, width: drawing.width }}
          >
            <Lines drawing={drawing} />
            {drawing.frames.filter(shown).map((each) => (
              <div
                key={each.key}
                aria-hidden
                className="absolute rounded-lg border border-dashed border-input bg-background/60"
                style={at(each)}
              />
            ))}
            {drawing.labels
              .filter((each) => shown({ ...each, width: 1, height: 1 }))
              .map((each) => (
                <span
                  key={each.key}
                  aria-hidden
                  className="absolute max-w-52 -translate-x-1/2 -translate-y-1/2 truncate rounded-sm bg-muted px-1.5 text-xs text-muted-foreground"
                  style={{ left: each.x, top: each.y }}
                >
                  {blockWords(each.text)}
                  {(run?.blocks.get(each.key) ?? 0) > 1 && (
                    <span className="figures"> ×{run?.blocks.get(each.key)}</span>
                  )}
                </span>
              ))}
            {onItem !== undefined &&
              drawing.frames.map((each) => {
                const items = run?.loops.get(each.key)
                if (items === undefined || items.count < 2) return null
                const place = {
                  left: each.x + each.width / 2 + CARD.width / 2 + 8,
                  top: each.y + 24,
                }
                return (
                  <span key={each.key} data-menu className="absolute z-10" style={place}>
                    <ItemStepper items={items} onAt={(to) => onItem(each.key, to)} />
                  </span>
                )
              })}
            {editing !== undefined &&
              drawing.gaps
                .filter((each) => shown({ x: each.x, y: each.y, width: 1, height: 1 }))
                .map((each) => (
                  <Insert
                    key={`${JSON.stringify(each.path)} ${each.at}`}
                    gap={each}
                    near={drag.over === each}
                    dragging={drag.dragging !== null}
                    selected={each.key !== null && each.key === selected}
                    onInsert={editing.insert}
                    onSelect={onSelect}
                  />
                ))}
            {drawing.cards
              .filter((each) => each.key === selected || shown(each))
              .map((each) => (
                <FlowCard
                  key={each.key}
                  card={each}
                  flow={flow}
                  selected={each.key === selected}
                  chosen={chosen?.has(each.key) === true}
                  tabbed={each.key === tabbed}
                  dragged={drag.dragging === each.key}
                  mark={marks?.get(each.key)}
                  ran={run?.cards.get(each.key)}
                  onSelect={onSelect}
                  menu={each.node === null ? undefined : editing?.menu}
                />
              ))}
          </div>
        </div>
      </div>
      {drag.ghost !== null && (
        <div
          aria-hidden
          className="pointer-events-none fixed z-50 rounded-md border border-primary bg-card px-3 py-1.5 font-medium shadow-lg"
          style={drag.ghost}
        >
          {t`Move here`}
        </div>
      )}
      <div className="absolute right-3 bottom-3 flex rounded-md border bg-card">
        <IconButton name={t`Zoom out`} onClick={() => zoomBy(-1)}>
          <ZoomOut aria-hidden />
        </IconButton>
        <button
          type="button"
          className="w-11 text-xs text-muted-foreground"
          title={t`Actual size`}
          onClick={() => setZoom(1)}
        >
          {Math.round(zoom * 100)}%
        </button>
        <IconButton name={t`Zoom in`} onClick={() => zoomBy(1)}>
          <ZoomIn aria-hidden />
        </IconButton>
        <IconButton name={t`Show all of it`} onClick={fit}>
          <Scan aria-hidden />
        </IconButton>
      </div>
    </div>
  )
})

function at({ x, y, width, height }: Box) {
  return { left: x, top: y, width, height }
}

/** Return whether what had the focus is there no more. */
export function isLost(focus: Element | null): focus is null {
  return focus === null || focus === document.body
}

function meets(one: Box, other: Box): boolean {
  return (
    one.x < other.x + other.width &&
    other.x < one.x + one.width &&
    one.y < other.y + other.height &&
    other.y < one.y + one.height
  )
}

function reveal(view: HTMLElement, { x, y, width, height }: Box, zoom: number): void {
  const inner = view.firstElementChild as HTMLElement
  const left = inner.offsetLeft + MARGIN + x * zoom
  const top = MARGIN / 2 + y * zoom
  const edge = 24
  if (left < view.scrollLeft + edge) view.scrollLeft = left - edge
  else if (left + width * zoom > view.scrollLeft + view.clientWidth - edge) {
    view.scrollLeft = left + width * zoom - view.clientWidth + edge
  }
  if (top < view.scrollTop + edge) view.scrollTop = top - edge - CARD.height
  else if (top + height * zoom > view.scrollTop + view.clientHeight - edge) {
    view.scrollTop = top + height * zoom - view.clientHeight + edge + CARD.height
  }
}

/** The part of the drawing that is seen, and some around it: no other cards are made. */
function useSeen(view: React.RefObject<HTMLDivElement | null>, zoom: number): Box | null {
  const [seen, setSeen] = useState<Box | null>(null)
  useLayoutEffect(() => {
    const box = view.current
    if (box === null) return
    let frame = 0
    const look = () => {
      frame = 0
      const inner = box.firstElementChild as HTMLElement
      const x = (box.scrollLeft - inner.offsetLeft - MARGIN) / zoom
      const y = (box.scrollTop - MARGIN / 2) / zoom
      // In steps, so that a little scrolling makes nothing anew.
      const step = (n: number) => Math.floor(n / BEYOND) * BEYOND
      const next = {
        x: step(x) - BEYOND,
        y: step(y) - BEYOND,
        width: step(box.clientWidth / zoom) + 3 * BEYOND,
        height: step(box.clientHeight / zoom) + 3 * BEYOND,
      }
      setSeen((now) => (JSON.stringify(now) === JSON.stringify(next) ? now : next))
    }
    const soon = () => {
      frame ||= requestAnimationFrame(look)
    }
    look()
    box.addEventListener("scroll", soon, { passive: true })
    const sizes = new ResizeObserver(soon)
    sizes.observe(box)
    return () => {
      cancelAnimationFrame(frame)
      box.removeEventListener("scroll", soon)
      sizes.disconnect()
    }
  }, [view, zoom])
  return seen
}

/** Ctrl and the wheel (a pinch on a touchpad) zoom. */
function useWheelZoom(view: React.RefObject<HTMLDivElement | null>, zoomBy: (by: 1 | -1) => void) {
  useEffect(() => {
    const box = view.current
    if (box === null) return
    let last = 0
    const wheel = (event: WheelEvent) => {
      if (!event.ctrlKey && !event.metaKey) return
      event.preventDefault()
      if (event.timeStamp - last < 80) return
      last = event.timeStamp
      zoomBy(event.deltaY < 0 ? 1 : -1)
    }
    box.addEventListener("wheel", wheel, { passive: false })
    return () => box.removeEventListener("wheel", wheel)
  }, [view, zoomBy])
}

const Lines = memo(function Lines({ drawing }: { drawing: Drawing }) {
  const path = drawing.edges.map(pathOf).join("")
  return (
    <svg
      aria-hidden
      className="pointer-events-none absolute overflow-visible text-input"
      width={drawing.width}
      height={drawing.height}
    >
      <path d={path} fill="none" stroke="currentColor" strokeWidth={1.5} />
    </svg>
  )
})

function pathOf({ from: [x, y], to: [toX, toY], joins }: Edge): string {
  if (x === toX) return `M${x} ${y}V${toY}`
  const radius = Math.min(8, Math.abs(toX - x) / 2)
  const side = Math.sign(toX - x) * radius
  const across = joins ? toY - 10 : y + 10
  return (
    `M${x} ${y}V${across - radius}Q${x} ${across} ${x + side} ${across}` +
    `H${toX - side}Q${toX} ${across} ${toX} ${across + radius}V${toY}`
  )
}

type InsertProps = {
  gap: Gap
  near: boolean
  dragging: boolean
  selected: boolean
  onInsert: (place: Place) => void
  onSelect: (key: string, extend: boolean) => void
}

function sameInsert({ gap, ...one }: InsertProps, { gap: now, ...other }: InsertProps): boolean {
  return (
    gap.x === now.x &&
    gap.y === now.y &&
    gap.at === now.at &&
    gap.key === now.key &&
    samePath(gap.path, now.path) &&
    Object.entries(one).every(([name, value]) => other[name as keyof typeof other] === value)
  )
}

const Insert = memo(function Insert({
  gap,
  near,
  dragging,
  selected,
  onInsert,
  onSelect,
}: InsertProps) {
  const { key } = gap
  return (
    <button
      type="button"
      data-step={key ?? undefined}
      aria-label={key === null ? t`Insert a step here` : t`Insert a step into this empty place`}
      title={t`Insert a step`}
      tabIndex={selected ? 0 : -1}
      onClick={() => onInsert({ path: gap.path, at: gap.at })}
      onFocus={() => key !== null && onSelect(key, false)}
      className={cx(
        "absolute inline-flex size-6 -translate-x-1/2 -translate-y-1/2 items-center justify-center rounded-full border bg-card text-muted-foreground",
        "hover:border-primary hover:text-foreground focus-visible:border-primary [&_svg]:size-3.5",
        near ? "scale-125 border-primary bg-primary text-primary-foreground" : "border-input",
        dragging && !near && "border-dashed",
      )}
      style={{ left: gap.x, top: gap.y }}
    >
      <Plus aria-hidden />
    </button>
  )
}, sameInsert)

/** Drag a card to a place between others; the background drags the view. */
function useDrag(
  drawing: Drawing,
  zoom: number,
  view: React.RefObject<HTMLDivElement | null>,
  editing: Editing | undefined,
) {
  const [dragging, setDragging] = useState<string | null>(null)
  const [over, setOver] = useState<Gap | null>(null)
  const [ghost, setGhost] = useState<{ left: number; top: number } | null>(null)
  const begun = useRef<{ key: string | null; x: number; y: number; moved: boolean } | null>(null)
  const stop = useCallback(() => {
    begun.current = null
    setDragging(null)
    setOver(null)
    setGhost(null)
  }, [])
  useEffect(() => {
    if (dragging === null) return
    const escape = (event: KeyboardEvent) => event.key === "Escape" && stop()
    window.addEventListener("keydown", escape)
    return () => window.removeEventListener("keydown", escape)
  }, [dragging, stop])
  const nearest = (event: Pointer): Gap | null => {
    const inner = view.current?.firstElementChild?.firstElementChild
    if (inner == null) return null
    const box = inner.getBoundingClientRect()
    const x = (event.clientX - box.left) / zoom
    const y = (event.clientY - box.top) / zoom
    let [best, least]: [Gap | null, number] = [null, NEAR]
    for (const gap of drawing.gaps) {
      const away = Math.hypot((gap.x - x) / 2, gap.y - y)
      if (away < least) [best, least] = [gap, away]
    }
    return best
  }
  const handlers = {
    onPointerDown(event: Pointer<HTMLDivElement>) {
      if (event.button !== 0) return
      const target = event.target as Element
      const key = target.closest<HTMLElement>("[data-card]")?.dataset["card"] ?? null
      if (key === null && target.closest("button") !== null) return
      if (target.closest("[data-menu]") !== null) return
      begun.current = { key, x: event.clientX, y: event.clientY, moved: false }
    },
    onPointerMove(event: Pointer<HTMLDivElement>) {
      const from = begun.current
      if (from === null) return
      if (!from.moved) {
        if (Math.hypot(event.clientX - from.x, event.clientY - from.y) < 5) return
        from.moved = true
        event.currentTarget.setPointerCapture(event.pointerId)
      }
      if (from.key === null || from.key === "trigger" || editing === undefined) {
        const box = event.currentTarget
        box.scrollLeft -= event.clientX - from.x
        box.scrollTop -= event.clientY - from.y
        from.x = event.clientX
        from.y = event.clientY
        return
      }
      setDragging(from.key)
      setOver(nearest(event))
      setGhost({ left: event.clientX + 12, top: event.clientY + 12 })
      const box = event.currentTarget.getBoundingClientRect()
      if (event.clientY > box.bottom - 40) event.currentTarget.scrollTop += 12
      if (event.clientY < box.top + 40) event.currentTarget.scrollTop -= 12
    },
    onPointerUp(event: Pointer<HTMLDivElement>) {
      const from = begun.current
      if (from?.moved === true && from.key !== null && dragging !== null) {
        const place = nearest(event)
        if (place !== null) editing?.drop(from.key, { path: place.path, at: place.at })
      }
      stop()
    },
    onPointerCancel: stop,
    onClickCapture(event: React.MouseEvent) {
      // The end of a drag is no click.
      if (dragging !== null) event.stopPropagation()
    },
  }
  return { dragging, over, ghost, handlers }
}
