import { t } from "@lingui/core/macro"
import { useEffect, useState } from "react"
import { api } from "~/api/client"
import { cx } from "~/ui/class"
import type { DraftHandle } from "../draft/handle"

const SIGN_MS = 15_000
const SOON_MS = 250
const COLOURS = ["bg-running", "bg-succeeded", "bg-waiting", "bg-failed-text", "bg-foreground"]

/** Somebody's first letters, in a colour of their own. */
export function Avatar({ label, small = false }: { label: string; small?: boolean }) {
  let hash = 7
  for (let at = 0; at < label.length; at++) hash = (hash * 31 + label.charCodeAt(at)) >>> 0
  const colour = COLOURS[hash % COLOURS.length]
  return (
    <span
      role="img"
      aria-label={label}
      title={label}
      className={cx(
        "inline-flex shrink-0 items-center justify-center rounded-full font-semibold text-background",
        small ? "size-5 text-[10px]" : "size-6 text-xs",
        colour,
      )}
    >
      {label.slice(0, 2).toUpperCase()}
    </span>
  )
}

/** Say that this window has the draft open, and what is selected in it; return the window's name. */
export function usePresence(draft: string, selected: string, may: boolean): string {
  const [editor] = useState(() => crypto.randomUUID())
  useEffect(() => {
    if (!may) return
    const path = { draft, editor }
    // Who is away is seen a moment later; nothing is lost by it.
    const sign = () => {
      const body = { selected: selected.slice(0, 200) }
      api
        .PUT("/api/drafts/{draft}/editors/{editor}", { params: { path }, body })
        .catch(() => undefined)
    }
    const soon = setTimeout(sign, SOON_MS)
    const again = setInterval(sign, SIGN_MS)
    return () => {
      clearTimeout(soon)
      clearInterval(again)
    }
  }, [draft, editor, selected, may])
  useEffect(() => {
    if (!may) return
    const leave = () => {
      const path = { draft, editor }
      api
        .DELETE("/api/drafts/{draft}/editors/{editor}", { params: { path }, keepalive: true })
        .catch(() => undefined)
    }
    window.addEventListener("pagehide", leave)
    return () => {
      window.removeEventListener("pagehide", leave)
      leave()
    }
  }, [draft, editor, may])
  return editor
}

/** Who else has the draft open. */
export function Present({ draft, editor }: { draft: DraftHandle; editor: string }) {
  const others = draft.state.editors.filter((each) => each.editor !== editor)
  if (others.length === 0) return null
  const labels = [...new Set(others.map((each) => each.label))]
  return (
    <span className="flex -space-x-1" role="group" aria-label={t`Also here`}>
      {labels.slice(0, 5).map((each) => (
        <Avatar key={each} label={each} />
      ))}
    </span>
  )
}

/** Return who else writes a flow now; null where it is free, or one's own. */
export function useWriter(draft: DraftHandle, flow: string, me: string): string | null {
  const writer = draft.state.writers.find((each) => each.flow === flow && each.label !== me)
  const until = writer === undefined ? 0 : Date.parse(writer.lease_until)
  const [now, setNow] = useState(() => Date.now())
  useEffect(() => {
    if (until === 0) return
    const timer = setTimeout(() => setNow(Date.now()), Math.max(0, until - Date.now()) + 50)
    return () => clearTimeout(timer)
  }, [until])
  return writer !== undefined && until > now ? writer.label : null
}
