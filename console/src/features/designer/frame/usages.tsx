import { t } from "@lingui/core/macro"
import { useQuery } from "@tanstack/react-query"
import { Button } from "~/ui/button"
import { Dialog } from "~/ui/dialog"
import { Pending } from "~/ui/notice"
import type { DraftHandle } from "../draft/handle"
import type { FlowOutline, OutlineNode } from "../draft/types"
import { type Spot, spotsIn } from "../tree/walk"
import { titleOf } from "./words"

/** Where the result of a step, or a flow, is named. */
export function UsagesDialog({
  draft,
  flow,
  node,
  onSelect,
  onClose,
}: {
  draft: DraftHandle
  flow: FlowOutline
  node: OutlineNode | null
  onSelect: (flow: string, key: string | null) => void
  onClose: () => void
}) {
  const name = node === null ? flow.name : nameIn(node)
  const usages = useQuery({
    queryKey: ["draft", draft.id, "usages", draft.revision, name, node === null ? null : flow.name],
    enabled: name !== null,
    queryFn: () => draft.query.usages(name ?? "", node === null ? undefined : flow.name),
  })
  const lines = draft.text.split("\n")
  const found = usages.data?.map((place) => ({ place, spot: spotOn(draft.flows, place.line) }))
  return (
    <Dialog
      title={name === null ? t`Usages` : t`Usages of ${name}`}
      onClose={onClose}
      footer={<Button onClick={onClose}>{t`Close`}</Button>}
    >
      {name === null ? (
        <p>{t`This step has no result with a name: nothing can read it.`}</p>
      ) : found === undefined ? (
        <Pending of={usages} lines={2} />
      ) : found.length === 0 ? (
        <p>{t`Nothing names it.`}</p>
      ) : (
        <ul className="flex flex-col">
          {found.map(({ place, spot }, at) => (
            <li key={at}>
              <button
                type="button"
                className="flex w-full items-baseline gap-3 rounded-sm px-2 py-1 text-left hover:bg-secondary"
                onClick={() => {
                  onClose()
                  if (spot !== null) onSelect(spot.flow.name, spot.node.key ?? null)
                }}
              >
                <span className="shrink-0 font-medium">
                  {spot === null ? t`outside of the steps` : titleOf(spot.node)}
                </span>
                <code className="min-w-0 truncate text-muted-foreground">
                  {lines[place.line - 1]?.trim()}
                </code>
                <span className="ml-auto shrink-0 text-xs text-muted-foreground">
                  {t`line ${place.line}`}
                </span>
              </button>
            </li>
          ))}
        </ul>
      )}
    </Dialog>
  )
}

/** Return the name that a step gives: of its result, of a loop's item, or of its first variable. */
function nameIn(node: OutlineNode): string | null {
  if (node.id != null) return node.id
  const { for: item, set } = node.fields
  if (typeof item === "string") return item
  if (typeof set === "object" && set !== null) return Object.keys(set)[0] ?? null
  return null
}

function spotOn(flows: readonly FlowOutline[], line: number): Spot | null {
  let found: Spot | null = null
  for (const flow of flows) {
    for (const spot of spotsIn(flow)) {
      const { place } = spot.node
      if (place.line <= line && line <= place.end_line) found = spot
    }
  }
  return found
}
