import {
  ArrowLeftRight,
  ArrowRightFromLine,
  Braces,
  CircleHelp,
  CornerDownRight,
  Database,
  GitBranch,
  Hourglass,
  Link2,
  Link2Off,
  LogOut,
  type LucideIcon,
  MailQuestion,
  OctagonX,
  Repeat,
  ScrollText,
  ShieldAlert,
  Square,
  Timer,
  Variable,
  Workflow,
} from "lucide-react"
import { AppTile } from "~/features/integrations/app"
import type { OutlineNode } from "../draft/types"

const ICONS: Record<string, LucideIcon> = {
  if: GitBranch,
  switch: GitBranch,
  route: GitBranch,
  for: Repeat,
  while: Repeat,
  try: ShieldAlert,
  set: Variable,
  code: Braces,
  call: Workflow,
  group: Workflow,
  result: Workflow,
  sleep: Timer,
  wait: Hourglass,
  links: MailQuestion,
  state: Database,
  paired: ArrowLeftRight,
  pair: Link2,
  unpair: Link2Off,
  log: ScrollText,
  break: ArrowRightFromLine,
  continue: CornerDownRight,
  stop: Square,
  return: Square,
  continue_with: LogOut,
  throw: OctagonX,
}

/** The icon of a kind of step; an action has that of its app. */
export function StepIcon({ node, large = true }: { node: OutlineNode; large?: boolean }) {
  const action = node.fields["action"]
  if (node.kind === "action" && typeof action === "string" && action.includes(".")) {
    return <AppTile component={action} large={large} />
  }
  return <KindIcon kind={node.kind} large={large} />
}

export function KindIcon({ kind, large = false }: { kind: string; large?: boolean }) {
  const Icon = ICONS[kind] ?? CircleHelp
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
