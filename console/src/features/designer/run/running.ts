import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react"
import { PREFIX } from "~/features/session/draft"
import { useSession } from "~/features/session/context"
import type { DraftHandle } from "../draft/handle"
import type { FlowOutline } from "../draft/types"
import { spotOf } from "../tree/walk"
import type { Runs } from "./context"
import { executionsOf, keysOf, overlay, type Row, staleOf, withRow } from "./rows"
import { type Asked, RunStore } from "./store"

const NONE: ReadonlySet<string> = new Set()
const ALL: ReadonlyMap<string, number> = new Map()
const nothing = new Map<string, Row>()

/** Run flows of a draft, and lay the latest run over the flow that is drawn. */
export function useRunning(draft: DraftHandle, flow: FlowOutline | null, onAsk: () => void): Runs {
  const { me } = useSession()
  const store = useMemo(() => new RunStore(draft.id), [draft.id])
  useEffect(() => () => store.clear(), [store])
  const run = useSyncExternalStore(store.subscribe, store.get)
  const [items, setItems] = useState(ALL)
  const [shown, setShown] = useState(ALL)
  const [alone, setAlone] = useState<ReadonlyMap<string, Row>>(nothing)

  // A run is of what is stored: it begins once the edits that are under way have come there.
  const waiting = useRef<Asked | null>(null)
  const latest = useRef(draft)
  const begin = useCallback(() => {
    const { pending, revision, flows } = latest.current
    const asked = waiting.current
    if (asked === null || pending > 0) return
    waiting.current = null
    void store.start(asked, revision, flows)
  }, [store])
  useEffect(() => {
    latest.current = draft
    begin()
  }, [draft, begin])

  const name = `${PREFIX}${me.user?.id ?? me.kind}:test:${draft.id}:${flow?.name ?? ""}`
  const start = useCallback(
    (asked: Asked) => {
      // Real effects, and what is left out, are chosen for one run, and for no other.
      remember(name, { ...asked, effects: "stubbed", unpinned: [] })
      setItems(ALL)
      setShown(ALL)
      setAlone(nothing)
      waiting.current = asked
      begin()
    },
    [name, begin],
  )
  const again = useCallback(() => {
    const last = lastOf(name)
    if (last === null) onAsk()
    else start(last)
  }, [name, start, onAsk])

  const version = run?.version
  const stale = useMemo(
    () => (run === null || flow === null ? NONE : staleOf(run.before, flow)),
    // The text that it began with stays what it was.
    [run?.before, flow], // eslint-disable-line react-hooks/exhaustive-deps
  )
  const executions = useMemo(
    () => (run === null || flow === null ? [] : executionsOf(flow, run.log)),
    [run, flow, version], // eslint-disable-line react-hooks/exhaustive-deps
  )
  const execution = (flow === null ? undefined : shown.get(flow.name)) ?? executions.at(-1) ?? 0
  const over = useMemo(() => {
    if (flow === null) return null
    const came = run !== null && (executions.length > 0 || run.asked.flow === flow.name)
    if (!came) {
      return alone.size === 0 ? null : withRow(EMPTY, alone, NONE)
    }
    const laid = overlay(flow, run.log, items, execution, run.status === "ended", stale)
    return withRow(laid, alone, stale)
  }, [run, flow, version, items, execution, executions, alone, stale]) // eslint-disable-line react-hooks/exhaustive-deps

  const showItem = useCallback(
    (loop: string, at: number) => setItems((now) => new Map(now).set(loop, at)),
    [],
  )
  const began = run?.end?.events.find(
    (each) => each.flow === flow?.name && each.execution === execution,
  )
  return {
    run,
    over,
    stale: stale.size > 0,
    executions,
    execution,
    showExecution: (at) => {
      if (flow !== null) setShown((now) => new Map(now).set(flow.name, at))
    },
    showItem,
    event: began?.event?.cut === false ? began.event.text : null,
    last: () => lastOf(name),
    again,
    ask: onAsk,
    start,
    stop: () => store.stop(),
    clear: () => {
      setAlone(nothing)
      store.clear()
    },
    alone: (key, row) =>
      setAlone((now) => {
        const next = new Map(now)
        if (row === null) next.delete(key)
        else next.set(key, row)
        return next
      }),
  }
}

const EMPTY = { cards: new Map(), loops: new Map(), blocks: new Map(), rows: new Map() }

/** Return the key of the step of whose failure a run failed, and its flow. */
export function failedStep(
  draft: DraftHandle,
  path: readonly (string | number | boolean)[] | null,
): { key: string; flow: string; title: string } | null {
  if (path === null) return null
  const key = keysOf(draft.flows).get(JSON.stringify(path))
  const spot = key === undefined ? null : spotOf(draft.flows, key)
  if (key === undefined || spot === null) return null
  return { key, flow: spot.flow.name, title: spot.node.title ?? "" }
}

function remember(name: string, asked: Asked): void {
  try {
    sessionStorage.setItem(name, JSON.stringify(asked))
  } catch {
    // The browser keeps nothing: it is asked again.
  }
}

function lastOf(name: string): Asked | null {
  try {
    // What was stored by an earlier release has no config.
    const asked = JSON.parse(sessionStorage.getItem(name) ?? "null") as
      (Omit<Asked, "config"> & Partial<Asked>) | null
    return asked === null ? null : { ...asked, config: asked.config ?? "", unpinned: [] }
  } catch {
    return null
  }
}
