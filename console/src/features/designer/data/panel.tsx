import { Trans } from "@lingui/react/macro"
import { t } from "@lingui/core/macro"
import { ChevronDown, ChevronRight } from "lucide-react"
import { type KeyboardEvent, useId, useMemo, useRef, useState } from "react"
import { cx } from "~/ui/class"
import { Input } from "~/ui/field"
import type { DraftHandle } from "../draft/handle"
import type { Path } from "../draft/types"
import { DRAGGED } from "../fields/pills"
import { useScope } from "../fields/scope"
import { useSamples } from "../run/samples"
import { type DataNode, searched, treeOf } from "./tree"

type Shown = { node: DataNode; level: number; open: boolean }

/** The values in scope: found by typing, walked by the arrow keys, taken by Enter or by a drag. */
export function DataTree({
  data,
  onPick,
  focused = false,
}: {
  data: readonly DataNode[]
  onPick?: ((path: string) => void) | undefined
  focused?: boolean
}) {
  const [search, setSearch] = useState("")
  const [toggled, setToggled] = useState<ReadonlyMap<string, boolean>>(new Map())
  const [at, setAt] = useState(0)
  const list = useRef<HTMLDivElement>(null)
  const id = useId()
  const isOpen = (node: DataNode, level: number) =>
    toggled.get(node.path) ?? (level === 0 && data.length <= 8 && node.name === "event")
  const shown = useMemo((): Shown[] => {
    if (search.trim() !== "") {
      return searched(data, search).map((node) => ({ node, level: 0, open: false }))
    }
    const found: Shown[] = []
    const walk = (nodes: readonly DataNode[], level: number) => {
      for (const node of nodes) {
        const open =
          node.branches && (toggled.get(node.path) ?? (level === 0 && node.name === "event"))
        found.push({ node, level, open })
        if (open && found.length < 1_000) walk(node.children(), level + 1)
      }
    }
    walk(data, 0)
    return found
  }, [data, search, toggled])
  const here = Math.min(at, shown.length - 1)
  const go = (to: number) => {
    const next = Math.max(0, Math.min(shown.length - 1, to))
    setAt(next)
    list.current?.querySelector(`[data-at="${next}"]`)?.scrollIntoView({ block: "nearest" })
  }
  const toggle = (node: DataNode, open: boolean) =>
    setToggled((now) => new Map(now).set(node.path, open))
  const onKeyDown = (event: KeyboardEvent<HTMLInputElement>) => {
    const row = shown[here]
    if (row === undefined) return
    const inText = search !== ""
    if (event.key === "ArrowDown") go(here + 1)
    else if (event.key === "ArrowUp") go(here - 1)
    else if (event.key === "Enter") onPick?.(row.node.path)
    else if (event.key === "ArrowRight" && !inText && row.node.branches) {
      if (isOpen(row.node, row.level)) go(here + 1)
      else toggle(row.node, true)
    } else if (event.key === "ArrowLeft" && !inText) {
      if (row.open) toggle(row.node, false)
      else {
        const above = shown.slice(0, here).findLastIndex((each) => each.level < row.level)
        if (above >= 0) go(above)
      }
    } else return
    event.preventDefault()
  }
  return (
    <div className="flex min-h-0 flex-1 flex-col">
      <div className="border-b p-2">
        <Input
          autoFocus={focused}
          role="combobox"
          aria-expanded
          aria-controls={id}
          aria-activedescendant={here >= 0 ? `${id}-${here}` : undefined}
          aria-label={t`Find data`}
          placeholder={t`Find data`}
          value={search}
          onChange={(event) => {
            setSearch(event.target.value)
            setAt(0)
          }}
          onKeyDown={onKeyDown}
          autoComplete="off"
        />
      </div>
      <div
        ref={list}
        id={id}
        role="listbox"
        aria-label={t`Data`}
        className="min-h-0 flex-1 overflow-auto p-1"
      >
        {shown.length === 0 && (
          <p className="px-2 py-1 text-muted-foreground">
            {search === "" ? t`Nothing is known here yet.` : t`Nothing matches`}
          </p>
        )}
        {shown.map(({ node, level, open }, index) => (
          <div
            key={node.path}
            id={`${id}-${index}`}
            role="option"
            aria-selected={index === here}
            data-at={index}
            draggable
            onDragStart={(event) => {
              event.dataTransfer.setData(DRAGGED, node.path)
              event.dataTransfer.setData("text/plain", node.path)
              event.dataTransfer.effectAllowed = "copy"
            }}
            onMouseDown={(event) => {
              // The field keeps the caret.
              if (onPick !== undefined) event.preventDefault()
            }}
            onClick={() => {
              setAt(index)
              onPick?.(node.path)
            }}
            title={[node.path, node.description, node.absent].filter(Boolean).join("\n")}
            style={{ paddingLeft: level * 14 + 4 }}
            className={cx(
              "flex h-6 cursor-pointer items-center gap-1.5 rounded-sm pr-2 select-none hover:bg-secondary",
              index === here && "bg-accent",
            )}
          >
            <span
              aria-hidden
              className="flex size-4 shrink-0 items-center justify-center text-muted-foreground [&_svg]:size-3.5"
              onClick={(event) => {
                if (!node.branches || search !== "") return
                event.stopPropagation()
                toggle(node, !open)
              }}
            >
              {node.branches && search === "" ? open ? <ChevronDown /> : <ChevronRight /> : null}
            </span>
            <span className="shrink-0 font-medium">{search === "" ? node.name : node.path}</span>
            <span className="shrink-0 text-xs text-muted-foreground">
              {node.path === "customer" ? t`Halflap’s customer` : node.type}
            </span>
            {node.sample !== "" && (
              <span className="figures min-w-0 flex-1 truncate text-right text-xs text-muted-foreground">
                {node.sample}
              </span>
            )}
          </div>
        ))}
      </div>
    </div>
  )
}

/** The data that a step sees, to be dragged into its fields. */
export function DataPanel({ draft, path }: { draft: DraftHandle; path: Path | null }) {
  if (path === null) {
    return (
      <p className="p-4 text-muted-foreground">
        <Trans>Select a step to see the data that it can use.</Trans>
      </p>
    )
  }
  return <OfStep draft={draft} path={path} />
}

function OfStep({ draft, path }: { draft: DraftHandle; path: Path }) {
  const { data: scope } = useScope(draft, path)
  const samples = useSamples(draft, path, scope)
  const data = useMemo(() => treeOf(scope ?? [], samples), [scope, samples])
  return <DataTree data={data} />
}
