import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useInfiniteQuery, useQuery } from "@tanstack/react-query"
import { type KeyboardEvent, useEffect, useMemo, useState } from "react"
import { type Execution, isOver, outlineQuery, traceQuery } from "~/api/execution"
import { Canvas } from "~/features/designer/frame/canvas"
import { titleOf } from "~/features/designer/frame/words"
import { keyed, keysOf, overlay, type Row, RowLog } from "~/features/designer/run/rows"
import { spotOf, TRIGGER, walked, WAYS } from "~/features/designer/tree/walk"
import { Button } from "~/ui/button"
import { Code } from "~/ui/json"
import { ErrorNotice, Loading } from "~/ui/notice"
import { StateMark } from "~/ui/state"
import { length } from "~/ui/time"
import { HiddenPayload, sizeOf } from "./value"

const NONE: ReadonlySet<string> = new Set()

/** The flow as the designer draws it, with what the execution did laid over it. */
export function FlowDrawing({
  execution,
  onStep,
}: {
  execution: Execution
  onStep: (path: string) => void
}) {
  const outline = useQuery(outlineQuery(execution.id))
  const trace = useInfiniteQuery(traceQuery(execution.id))
  const { hasNextPage, isFetching, fetchNextPage } = trace
  useEffect(() => {
    if (hasNextPage && !isFetching) void fetchNextPage()
  }, [hasNextPage, isFetching, fetchNextPage])
  const [selected, setSelected] = useState<string | null>(null)
  const [items, setItems] = useState<ReadonlyMap<string, number>>(new Map())
  const flow = useMemo(
    () => (outline.data === undefined ? null : keyed(outline.data.flow)),
    [outline.data],
  )
  const pages = trace.data?.pages
  const last = pages?.at(-1)
  const whole = last !== undefined && last.next === null && last.document !== null
  const followed = whole && last.stopped === null && isOver(execution.state)
  const steps = useMemo(() => {
    const found = new Map<Row, string[]>()
    for (const page of pages ?? [])
      for (const each of page.items) found.set(rowOf(each), each.steps)
    return found
  }, [pages])
  const laid = useMemo(() => {
    if (flow === null) return null
    const log = new RowLog(keysOf([flow]))
    for (const each of steps.keys()) log.add(each)
    return overlay(flow, log, items, 0, followed, NONE)
  }, [flow, steps, items, followed])
  const error = outline.error ?? trace.error
  if (error !== null) {
    const retry = () => void Promise.all([outline.refetch(), trace.refetch()])
    return <ErrorNotice error={error} retry={retry} />
  }
  if (flow === null || laid === null || last === undefined) return <Loading />
  const spot = selected === null || selected === TRIGGER ? null : spotOf([flow], selected)
  const row = selected === null ? undefined : laid.rows.get(selected)
  const walk = (event: KeyboardEvent) => {
    const way = WAYS[event.key]
    if (way === undefined || event.altKey || event.metaKey || event.ctrlKey) return
    event.preventDefault()
    const next = walked(flow, selected, way)
    if (next !== null) setSelected(next)
  }
  const record = row === undefined ? undefined : steps.get(row)?.at(-1)
  return (
    <div className="-mx-4 -mt-4 flex flex-col">
      {last.stopped !== null && (
        <p className="border-b px-4 py-2 text-muted-foreground">
          {last.document === null ? (
            <Trans>What its steps gave is not known on the drawing: {last.stopped}.</Trans>
          ) : (
            <Trans>It could not be followed further: {last.stopped}</Trans>
          )}
        </p>
      )}
      <div className="flex h-[52vh] border-b" onKeyDown={walk}>
        <Canvas
          flow={flow}
          selected={selected}
          onSelect={setSelected}
          run={laid}
          onItem={(loop, at) => setItems((now) => new Map(now).set(loop, at))}
        />
      </div>
      {spot !== null && (
        <section aria-label={titleOf(spot.node)} className="flex flex-col gap-3 px-4 pt-3">
          <div className="flex flex-wrap items-center gap-2">
            <StateMark state={row === undefined || row.state === "running" ? null : row.state} />
            <h2 className="min-w-0 font-semibold break-words">{titleOf(spot.node)}</h2>
            {row !== undefined && row.took_ms > 0 && (
              <span className="figures text-xs text-muted-foreground">{length(row.took_ms)}</span>
            )}
            {record !== undefined && (
              <Button look="ghost" onClick={() => onStep(record)}>
                {t`Its inputs and attempts`}
              </Button>
            )}
          </div>
          {row === undefined ? (
            <p className="text-muted-foreground">
              {followed
                ? t`The flow did not come here.`
                : t`Whether the flow came here is not known.`}
            </p>
          ) : last.payload_hidden ? (
            <HiddenPayload />
          ) : (
            <>
              {row.error !== null && (
                <p className="break-words text-failed-text">{row.error.message}</p>
              )}
              {row.gave !== null && (
                <Code text={row.gave.cut ? `${row.gave.text}…` : row.gave.text} label={t`Output`} />
              )}
              {row.gave?.cut === true && (
                <p className="text-xs text-muted-foreground">
                  <Trans>The beginning of {sizeOf(row.gave.size)}.</Trans>
                </p>
              )}
              {row.gave === null && row.error === null && (
                <p className="text-muted-foreground">{t`It gives no result.`}</p>
              )}
            </>
          )}
        </section>
      )}
    </div>
  )
}

type Traced = Pick<Row, "path" | "item" | "state" | "gave" | "error"> & { took_ms: number | null }

function rowOf({ path, item, state, gave, error, took_ms }: Traced): Row {
  return {
    ...{ path, item, state, gave, error },
    took_ms: took_ms ?? 0,
    execution: 0,
    inputs: null,
    source: null,
    stale: false,
  }
}
