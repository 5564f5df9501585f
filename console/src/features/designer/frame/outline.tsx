import { t } from "@lingui/core/macro"
import { defaultRangeExtractor, useVirtualizer } from "@tanstack/react-virtual"
import {
  ChevronDown,
  ChevronRight,
  CircleAlert,
  MoreHorizontal,
  Pin,
  Plus,
  TriangleAlert,
} from "lucide-react"
import {
  type KeyboardEvent,
  memo,
  type ReactNode,
  useEffect,
  useMemo,
  useRef,
  useState,
} from "react"
import { IconButton } from "~/ui/button"
import { cx } from "~/ui/class"
import { Menu, type MenuItem } from "~/ui/menu"
import { AppTile } from "~/features/integrations/app"
import type { FlowOutline, OutlineNode } from "../draft/types"
import { blockKey, TRIGGER } from "../tree/walk"
import { isLost } from "./canvas"
import { type Mark, sameMark } from "./card"
import { StepIcon } from "./icon"
import { blockTitle, titleOf } from "./words"

type Row = {
  key: string
  level: number
  /** The key of the row that it is in. */
  parent: string | null
  text: string
  kind: "flow" | "trigger" | "step" | "block"
  flow: FlowOutline
  node: OutlineNode | null
  opens: boolean
  size: number
  place: number
}

const ROW = 28

/**
 * The flows and their steps as a tree: all that the drawing shows and does, by keyboard and ear. Only
 * the rows in view are made, and the selected one, which has the focus.
 */
export function Outline({
  flows,
  flow,
  selected,
  chosen,
  marks,
  onSelect,
  onFlow,
  onAdd,
  menu,
  flowMenu,
}: {
  flows: readonly FlowOutline[]
  flow: FlowOutline | null
  selected: string | null
  chosen: ReadonlySet<string>
  marks: ReadonlyMap<string, Mark>
  onSelect: (key: string | null, extend: boolean) => void
  onFlow: (flow: string) => void
  onAdd: (() => void) | undefined
  menu: ((key: string) => ReactNode) | undefined
  flowMenu: ((flow: FlowOutline) => MenuItem[]) | undefined
}) {
  const [shut, setShut] = useState<ReadonlySet<string>>(new Set())
  const rows = useMemo(() => rowsOf(flows, flow, shut), [flows, flow, shut])
  const tree = useRef<HTMLDivElement>(null)
  const typed = useRef({ text: "", at: 0 })
  const own = flow === null ? null : `flow ${flow.name}`
  const now = rows.some((each) => each.key === selected) ? selected : own
  const at = rows.findIndex((each) => each.key === now)
  const { getVirtualItems, getTotalSize, scrollToIndex } = useVirtualizer({
    count: rows.length,
    getScrollElement: () => tree.current,
    estimateSize: () => ROW,
    getItemKey: (index) => rows[index]?.key ?? index,
    overscan: 8,
    rangeExtractor: (range) => {
      const seen = defaultRangeExtractor(range)
      return at === -1 || seen.includes(at) ? seen : [...seen, at].sort((a, b) => a - b)
    },
  })
  useEffect(() => {
    if (at !== -1) scrollToIndex(at)
    const row = tree.current?.querySelector<HTMLElement>(`[data-row="${CSS.escape(now ?? "")}"]`)
    const focus = document.activeElement
    const had = tree.current?.dataset["focused"] !== undefined
    if (had && (isLost(focus) || focus.matches("[data-row]"))) row?.focus({ preventScroll: true })
  }, [now, at, rows, scrollToIndex])
  const toggle = (key: string, open: boolean) =>
    setShut((before) => {
      const next = new Set(before)
      if (open) next.delete(key)
      else next.add(key)
      return next
    })
  const choose = (row: Row | undefined, extend = false) => {
    if (row === undefined) return
    if (row.kind === "flow") {
      if (row.flow.name === flow?.name) onSelect(null, false)
      else onFlow(row.flow.name)
    } else onSelect(row.key, extend)
  }
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.altKey || event.metaKey || event.ctrlKey) return
    const row = rows[at]
    if (row === undefined) return
    switch (event.key) {
      case "ArrowDown":
        choose(rows[at + 1], event.shiftKey)
        break
      case "ArrowUp":
        choose(rows[at - 1], event.shiftKey)
        break
      case "Home":
        choose(rows[0])
        break
      case "End":
        choose(rows.at(-1))
        break
      case "ArrowRight":
        if (row.opens && shut.has(row.key)) toggle(row.key, true)
        else if (row.opens) choose(rows[at + 1])
        break
      case "ArrowLeft":
        if (row.opens && !shut.has(row.key) && row.kind !== "flow") toggle(row.key, false)
        else choose(rows.find((each) => each.key === row.parent))
        break
      default: {
        // Letters go to the next row that begins with them; those of actions are given by the frame.
        if (!event.shiftKey || !/^\p{L}$/u.test(event.key)) return
        const text = event.timeStamp - typed.current.at < 700 ? typed.current.text : ""
        typed.current = { text: text + event.key.toLowerCase(), at: event.timeStamp }
        const rest = [...rows.slice(at + (text === "" ? 1 : 0)), ...rows.slice(0, at)]
        choose(rest.find((each) => each.text.toLowerCase().startsWith(typed.current.text)))
      }
    }
    event.preventDefault()
    event.stopPropagation()
  }
  return (
    <section aria-label={t`Outline`} className="flex min-h-0 flex-1 flex-col">
      <header className="flex h-9 shrink-0 items-center justify-between border-b px-3">
        <h2 className="text-xs font-medium text-muted-foreground">{t`Flows`}</h2>
        {onAdd !== undefined && (
          <IconButton name={t`Add a flow`} onClick={onAdd} className="size-6">
            <Plus aria-hidden />
          </IconButton>
        )}
      </header>
      <div
        ref={tree}
        role="tree"
        aria-label={t`Flows and steps`}
        aria-multiselectable
        className="min-h-0 flex-1 overflow-auto p-1"
        onKeyDown={onKeyDown}
        onFocus={(event) => (event.currentTarget.dataset["focused"] = "")}
        onBlur={(event) => {
          if (event.relatedTarget !== null) delete event.currentTarget.dataset["focused"]
        }}
      >
        <div role="presentation" className="relative" style={{ height: getTotalSize() }}>
          {getVirtualItems().map(({ index, start }) => {
            const row = rows[index]
            if (row === undefined) return null
            return (
              <TreeRow
                key={row.key}
                row={row}
                top={start}
                open={!shut.has(row.key)}
                selected={row.key === now}
                chosen={chosen.has(row.key)}
                mark={marks.get(row.kind === "flow" ? `flow ${row.flow.name}` : row.key)}
                onChoose={choose}
                onToggle={toggle}
                menu={menu}
                flowMenu={flowMenu}
              />
            )
          })}
        </div>
      </div>
    </section>
  )
}

const TreeRow = memo(
  function TreeRow({
    row,
    top,
    open,
    selected,
    chosen,
    mark,
    onChoose,
    onToggle,
    menu,
    flowMenu,
  }: {
    row: Row
    top: number
    open: boolean
    selected: boolean
    chosen: boolean
    mark: Mark | undefined
    onChoose: (row: Row, extend: boolean) => void
    onToggle: (key: string, open: boolean) => void
    menu: ((key: string) => ReactNode) | undefined
    flowMenu: ((flow: FlowOutline) => MenuItem[]) | undefined
  }) {
    const { kind, node } = row
    const Caret = open ? ChevronDown : ChevronRight
    return (
      <div
        role="treeitem"
        data-row={row.key}
        aria-level={row.level}
        aria-setsize={row.size}
        aria-posinset={row.place}
        aria-expanded={row.opens ? open : undefined}
        aria-selected={selected || chosen}
        aria-label={labelOf(row, mark)}
        tabIndex={selected ? 0 : -1}
        onClick={(event) => onChoose(row, event.shiftKey)}
        className={cx(
          "group absolute inset-x-0 flex h-7 cursor-pointer items-center gap-1.5 rounded-sm pr-1 select-none",
          selected || chosen ? "bg-accent text-accent-foreground" : "hover:bg-secondary",
          kind === "block" && "text-xs text-muted-foreground",
          kind === "flow" && "font-medium",
        )}
        style={{ top, paddingLeft: (row.level - 1) * 12 + 2 }}
      >
        <span
          aria-hidden
          className="inline-flex size-4 shrink-0 items-center justify-center text-muted-foreground"
          onClick={(event) => {
            if (!row.opens || kind === "flow") return
            event.stopPropagation()
            onToggle(row.key, !open)
          }}
        >
          {row.opens && <Caret className="size-3.5" />}
        </span>
        {kind === "trigger" && <AppTile component={row.flow.trigger || "?"} />}
        {node !== null && kind === "step" && <StepIcon node={node} large={false} />}
        <span className="min-w-0 flex-1 truncate" title={row.text}>
          {row.text}
        </span>
        {mark?.pinned === true && <Pin aria-hidden className="size-3.5 shrink-0 text-waiting" />}
        {mark !== undefined && mark.errors > 0 ? (
          <CircleAlert aria-hidden className="size-3.5 shrink-0 text-failed-text" />
        ) : (
          mark !== undefined &&
          mark.warnings > 0 && (
            <TriangleAlert aria-hidden className="size-3.5 shrink-0 text-waiting" />
          )
        )}
        {selected && kind === "step" && menu !== undefined && (
          <span onClick={(event) => event.stopPropagation()}>{menu(row.key)}</span>
        )}
        {selected && kind === "flow" && flowMenu !== undefined && (
          <span onClick={(event) => event.stopPropagation()}>
            <Menu
              name={t`Actions for the flow`}
              className="size-6 border-transparent bg-transparent px-0 text-muted-foreground"
              tabIndex={-1}
              items={flowMenu(row.flow)}
            >
              <MoreHorizontal aria-hidden />
            </Menu>
          </span>
        )}
      </div>
    )
  },
  (one, other) =>
    one.open === other.open &&
    one.top === other.top &&
    one.selected === other.selected &&
    one.chosen === other.chosen &&
    sameMark(one.mark, other.mark) &&
    one.row.key === other.row.key &&
    one.row.text === other.row.text &&
    one.row.level === other.row.level &&
    one.row.size === other.row.size &&
    one.row.place === other.row.place &&
    one.row.opens === other.row.opens &&
    one.row.node?.kind === other.row.node?.kind &&
    // The selected one has the menu, whose actions are those of now.
    !other.selected &&
    !one.selected,
)

function labelOf(row: Row, mark: Mark | undefined): string {
  const words = [row.text]
  if (mark !== undefined && mark.errors > 0) words.push(t`has errors`)
  else if (mark !== undefined && mark.warnings > 0) words.push(t`has warnings`)
  if (mark?.pinned === true) words.push(t`has a pinned answer`)
  for (const each of mark?.editors ?? []) words.push(each)
  return words.join(", ")
}

function rowsOf(
  flows: readonly FlowOutline[],
  open: FlowOutline | null,
  shut: ReadonlySet<string>,
): Row[] {
  const rows: Row[] = []
  for (const [at, flow] of flows.entries()) {
    const key = `flow ${flow.name}`
    const isOpen = flow.name === open?.name
    const rest = { flow, node: null }
    rows.push({
      ...rest,
      key,
      level: 1,
      parent: null,
      text: flow.title,
      kind: "flow",
      opens: isOpen,
      size: flows.length,
      place: at + 1,
    })
    if (!isOpen) continue
    rows.push({
      ...rest,
      key: TRIGGER,
      level: 2,
      parent: key,
      text: flow.trigger,
      kind: "trigger",
      opens: false,
      size: flow.steps.length + 1,
      place: 1,
    })
    addSteps(rows, flow, flow.steps, 2, key, shut, 1)
  }
  return rows
}

function addSteps(
  rows: Row[],
  flow: FlowOutline,
  nodes: readonly OutlineNode[],
  level: number,
  parent: string,
  shut: ReadonlySet<string>,
  before: number,
): void {
  for (const [at, node] of nodes.entries()) {
    const key = node.key ?? JSON.stringify(node.path)
    const opens = node.blocks.length > 0
    rows.push({
      key,
      level,
      parent,
      text: titleOf(node),
      kind: "step",
      flow,
      node,
      opens,
      size: nodes.length + before,
      place: at + 1 + before,
    })
    if (!opens || shut.has(key)) continue
    for (const [n, block] of node.blocks.entries()) {
      const own = blockKey(node, block)
      rows.push({
        key: own,
        level: level + 1,
        parent: key,
        text: blockTitle(block),
        kind: "block",
        flow,
        node,
        opens: block.nodes.length > 0,
        size: node.blocks.length,
        place: n + 1,
      })
      if (!shut.has(own)) addSteps(rows, flow, block.nodes, level + 2, own, shut, 0)
    }
  }
}
