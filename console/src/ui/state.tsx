import { msg } from "@lingui/core/macro"
import { useLingui } from "@lingui/react"
import type { MessageDescriptor } from "@lingui/core"
import {
  Ban,
  Check,
  CircleDashed,
  CircleDotDashed,
  Clock,
  type LucideIcon,
  Pause,
  Play,
  RotateCw,
  X,
} from "lucide-react"
import { cx } from "./class"

export type AnyState =
  | "queued"
  | "running"
  | "waiting"
  | "succeeded"
  | "failed"
  | "cancelled"
  | "ignored"
  | "retrying"
  | "paused"
  | "ended"

const LOOKS: Record<AnyState, { icon: LucideIcon; word: MessageDescriptor; look: string }> = {
  queued: { icon: Clock, word: msg`queued`, look: "text-queued border-border" },
  running: { icon: Play, word: msg`running`, look: "text-running border-running/40" },
  waiting: { icon: Pause, word: msg`waiting`, look: "text-waiting border-waiting/40" },
  paused: { icon: Pause, word: msg`paused`, look: "text-waiting border-waiting/40" },
  retrying: { icon: RotateCw, word: msg`retrying`, look: "text-waiting border-waiting/40" },
  succeeded: { icon: Check, word: msg`succeeded`, look: "text-succeeded border-transparent" },
  ended: { icon: Check, word: msg`ended`, look: "text-queued border-border" },
  failed: { icon: X, word: msg`failed`, look: "bg-failed text-failed-foreground border-failed" },
  cancelled: { icon: Ban, word: msg`cancelled`, look: "text-cancelled border-border line-through" },
  ignored: {
    icon: CircleDashed,
    word: msg`ignored`,
    look: "text-ignored border-dotted border-input",
  },
}

/** A state by icon, word and colour together. */
export function StateBadge({ state, dim = false }: { state: AnyState; dim?: boolean }) {
  const { _ } = useLingui()
  const { icon: Icon, word, look } = LOOKS[state]
  const quiet = dim && state === "failed" ? "border-failed/40 text-failed-text" : look
  return (
    <span
      className={cx(
        "inline-flex h-5 items-center gap-1 rounded-sm border px-1.5 align-middle text-xs whitespace-nowrap",
        quiet,
      )}
    >
      <Icon aria-hidden className="size-3 shrink-0" strokeWidth={2.25} />
      {_(word)}
    </span>
  )
}

const MARKS: Record<AnyState, string> = {
  queued: "text-queued",
  running: "text-running",
  waiting: "text-waiting",
  paused: "text-waiting",
  retrying: "text-waiting",
  succeeded: "text-succeeded",
  ended: "text-queued",
  failed: "text-failed-text",
  cancelled: "text-cancelled",
  ignored: "text-ignored",
}

/** A state as an icon of its colour, its word for screen readers; nothing happened where it is null. */
export function StateMark({ state }: { state: AnyState | null }) {
  const { _ } = useLingui()
  if (state === null) {
    return <CircleDotDashed aria-hidden className="size-3.5 shrink-0 text-muted-foreground/60" />
  }
  const { icon: Icon, word } = LOOKS[state]
  return (
    <span className={cx("inline-flex shrink-0", MARKS[state])} title={_(word)}>
      <Icon aria-hidden className="size-3.5" strokeWidth={2.5} />
      <span className="sr-only">{_(word)}</span>
    </span>
  )
}
