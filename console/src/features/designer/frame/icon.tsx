import { CircleHelp } from "lucide-react"
import { AppTile } from "~/features/integrations/app"
import type { OutlineNode } from "../draft/types"
import { kindOf } from "../tree/kinds"

/** The icon of a kind of step; an action has that of its app. */
export function StepIcon({ node, large = true }: { node: OutlineNode; large?: boolean }) {
  const action = node.fields["action"]
  if (node.kind === "action" && typeof action === "string" && action.includes(".")) {
    return <AppTile component={action} large={large} />
  }
  return <KindIcon kind={node.kind} large={large} />
}

export function KindIcon({ kind, large = false }: { kind: string; large?: boolean }) {
  const Icon = kindOf(kind)?.icon ?? CircleHelp
  return (
    <span
      aria-hidden
      className={
        large
          ? "inline-flex size-9 shrink-0 items-center justify-center rounded-md bg-secondary text-muted-foreground [&_svg]:size-4.5"
          : "inline-flex size-6 shrink-0 items-center justify-center rounded-md bg-secondary text-muted-foreground [&_svg]:size-3.5"
      }
    >
      <Icon />
    </span>
  )
}
