import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "react"
import { type Json, same } from "./model"

const PAUSE_MS = 350
/** Edits with a longer pause between them are taken back one by one. */
const GROUP_MS = 1_500

export type Typed<T> = {
  now: T
  change: (value: T) => void
  /** Send what was typed without waiting for the pause. */
  flush: () => void
  /** Why the last one was not made; what was typed stays. */
  error: string | null
}

let groups = 0

/**
 * What is typed in a field, sent as it pauses. Until it was made, what was typed is shown, whatever
 * comes from elsewhere; a field that goes away sends first.
 */
export function useTyped<T extends Json | undefined>(
  stored: T,
  send: (value: T, group: string) => Promise<string | null>,
): Typed<T> {
  const [local, setLocal] = useState<{ value: T; over?: T } | null>(null)
  // It was made: what is stored takes its place as soon as it is another than it was.
  if (local !== null && "over" in local && !same(local.over, stored)) setLocal(null)
  const [error, setError] = useState<string | null>(null)
  const waiting = useRef<{ value: T; timer: number } | null>(null)
  const latest = useRef({ value: null as { value: T } | null, at: 0, group: "" })
  const sending = useRef({ send, stored })
  useLayoutEffect(() => {
    sending.current = { send, stored }
  })
  const flush = useCallback(() => {
    const pending = waiting.current
    if (pending === null) return
    waiting.current = null
    clearTimeout(pending.timer)
    const mark = latest.current.value
    void sending.current.send(pending.value, latest.current.group).then((wrong) => {
      setError(wrong)
      // What was typed since is still to be sent.
      if (wrong === null && latest.current.value === mark) {
        const { stored: over } = sending.current
        setLocal(same(over, pending.value) ? null : { value: pending.value, over })
      }
    })
  }, [])
  useEffect(() => {
    addEventListener("pagehide", flush)
    return () => {
      removeEventListener("pagehide", flush)
      flush()
    }
  }, [flush])
  const change = useCallback(
    (value: T) => {
      const held = { value }
      const before = latest.current
      const at = Date.now()
      const group = at - before.at > GROUP_MS ? `typed-${++groups}-${at}` : before.group
      latest.current = { value: held, at, group }
      setLocal(held)
      setError(null)
      if (waiting.current !== null) clearTimeout(waiting.current.timer)
      waiting.current = { value, timer: window.setTimeout(flush, PAUSE_MS) }
    },
    [flush],
  )
  return { now: local === null ? stored : local.value, change, flush, error }
}
