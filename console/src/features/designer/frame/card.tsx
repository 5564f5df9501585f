import { t } from "@lingui/core/macro"
import { CircleAlert, Pin, TriangleAlert } from "lucide-react"
import { memo, type ReactNode } from "react"
import { AppTile } from "~/features/integrations/app"
import { cx } from "~/ui/class"
import { StateMark } from "~/ui/state"
import type { FlowOutline } from "../draft/types"
import { type Json, same } from "../fields/model"
import type { Ran } from "../run/rows"
import type { Card } from "../tree/layout"
import { short, summaryOf } from "../tree/summary"
import { StepIcon } from "./icon"
import { Avatar } from "./presence"
import { titleOf } from "./words"

/** What a card shows beside its step: findings, who else has it selected, and whether its answer is pinned. */
export type Mark = {
  errors: number
  warnings: number
  editors: readonly string[]
  pinned: boolean
}

/** Return whether two marks look the same; each list of findings makes them anew. */
export function sameMark(one: Mark | undefined, other: Mark | undefined): boolean {
  if (one === undefined || other === undefined) return one === other
  return (
    one.errors === other.errors &&
    one.warnings === other.warnings &&
    one.pinned === other.pinned &&
    one.editors.join("\n") === other.editors.join("\n")
  )
}

type CardProps = {
  card: Card
  flow: FlowOutline
  selected: boolean
  chosen: boolean
  tabbed: boolean
  dragged: boolean
  mark: Mark | undefined
  ran: Ran | undefined
  onSelect: (key: string, extend: boolean) => void
  menu: ((key: string) => ReactNode) | undefined
}

/** A step of a flow, or its trigger: drawn anew only where something of it is another. */
export const FlowCard = memo(function FlowCard({
  card,
  flow,
  selected,
  chosen,
  tabbed,
  dragged,
  mark,
  ran,
  onSelect,
  menu,
}: CardProps) {
  const { node, key } = card
  const title = node === null ? flow.trigger || t`Choose a trigger` : titleOf(node)
  const own =
    node === null ? short(flow.fields["with"] ?? "") || t`begins the flow` : summaryOf(node)
  const gave = ran?.summary ?? ""
  const line = gave === "" ? own : gave
  return (
    <div
      data-card={key}
      className={cx(
        "group absolute flex touch-none items-center rounded-md border bg-card",
        selected || chosen ? "border-primary ring-2 ring-primary/30" : "border-input",
        dragged && "opacity-40",
        ran?.state === "skipped" &&
          "border-dotted bg-muted text-muted-foreground [&_svg]:opacity-60",
        ran?.state === "failed" && !selected && "border-failed",
        ran?.stale === true && ran.state !== "skipped" && "border-dashed",
      )}
      style={{ left: card.x, top: card.y, width: card.width, height: card.height }}
    >
      <button
        type="button"
        data-step={key}
        tabIndex={tabbed ? 0 : -1}
        aria-current={selected || undefined}
        aria-pressed={chosen ? true : undefined}
        onClick={(event) => onSelect(key, event.shiftKey)}
        className="flex h-full min-w-0 flex-1 items-center gap-2.5 rounded-md px-2.5 text-left"
      >
        {node === null ? (
          <AppTile component={flow.trigger || "?"} large />
        ) : (
          <StepIcon node={node} />
        )}
        <span className="min-w-0 flex-1">
          <span className="line-clamp-2 leading-4 font-medium break-words" title={title}>
            {title}
          </span>
          <span
            className={cx(
              "block truncate text-xs leading-4",
              ran?.state === "failed"
                ? "text-failed-text"
                : gave === "" || ran?.stale === true
                  ? "text-muted-foreground"
                  : "figures text-foreground",
            )}
            title={line}
          >
            {line}
          </span>
        </span>
        {ran !== undefined && ran.state !== "skipped" && (
          <span className="flex shrink-0 items-center gap-1">
            {ran.count > 1 && (
              <span className="figures text-xs text-muted-foreground">×{ran.count}</span>
            )}
            <StateMark state={ran.state} />
          </span>
        )}
        {mark !== undefined && <Marks mark={mark} />}
      </button>
      {menu !== undefined && (
        <span data-menu className="pr-1.5">
          {menu(key)}
        </span>
      )}
    </div>
  )
}, looksSame)

function looksSame(one: CardProps, other: CardProps): boolean {
  const { card, flow, mark, ...rest } = one
  if (!sameMark(mark, other.mark) || !sameCard(card, other.card)) return false
  if (card.node === null && flow !== other.flow) return false
  return Object.entries(rest).every(([name, value]) => other[name as keyof CardProps] === value)
}

/** An edit gives each step behind it another address and line, and a layout is of new boxes. */
function sameCard(one: Card, other: Card): boolean {
  const [node, now] = [one.node, other.node]
  return (
    one.x === other.x &&
    one.y === other.y &&
    one.key === other.key &&
    node?.kind === now?.kind &&
    node?.title === now?.title &&
    same((node?.fields ?? null) as Json, (now?.fields ?? null) as Json)
  )
}

function Marks({ mark: { errors, warnings, editors, pinned } }: { mark: Mark }) {
  return (
    <span className="flex shrink-0 items-center gap-1">
      {editors.slice(0, 2).map((each) => (
        <Avatar key={each} label={each} small />
      ))}
      {pinned && (
        <Pin role="img" aria-label={t`has a pinned answer`} className="size-4 text-waiting" />
      )}
      {errors > 0 ? (
        <CircleAlert role="img" aria-label={t`has errors`} className="size-4 text-failed-text" />
      ) : (
        warnings > 0 && (
          <TriangleAlert role="img" aria-label={t`has warnings`} className="size-4 text-waiting" />
        )
      )}
    </span>
  )
}
