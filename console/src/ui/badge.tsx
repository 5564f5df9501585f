import type { LucideIcon } from "lucide-react"
import type { ReactNode } from "react"
import { cx } from "./class"

export type Tone = "quiet" | "good" | "busy" | "warn" | "bad" | "off"

const LOOKS: Record<Tone, string> = {
  quiet: "text-queued border-border",
  good: "text-succeeded border-transparent",
  busy: "text-running border-running/40",
  warn: "text-waiting border-waiting/40",
  bad: "bg-failed text-failed-foreground border-failed",
  off: "text-ignored border-dotted border-input",
}

/** A state by icon, word and colour together. */
export function Badge({
  tone,
  icon: Icon,
  title,
  children,
}: {
  tone: Tone
  icon: LucideIcon
  title?: string | undefined
  children: ReactNode
}) {
  return (
    <span
      title={title}
      className={cx(
        "inline-flex h-5 items-center gap-1 rounded-sm border px-1.5 align-middle text-xs whitespace-nowrap",
        LOOKS[tone],
      )}
    >
      <Icon aria-hidden className="size-3 shrink-0" strokeWidth={2.25} />
      {children}
    </span>
  )
}
