import { t } from "@lingui/core/macro"
import { Plural, Trans } from "@lingui/react/macro"
import { ChevronDown, FlaskConical, LoaderCircle, RotateCw, Square, X, Zap } from "lucide-react"
import { preview } from "~/api/exact"
import { ApiError, Offline } from "~/api/problem"
import { Button, buttonClass, IconButton } from "~/ui/button"
import { cx } from "~/ui/class"
import { StateBadge } from "~/ui/state"
import type { DraftHandle } from "../draft/handle"
import { titleOf } from "../frame/words"
import { spotOf } from "../tree/walk"
import { useRuns } from "./context"
import { RealBadge } from "./development"
import { failedStep } from "./running"
import { Stepper } from "./stepper"

/** Runs the flow that is drawn: as the last time, or with what is chosen. */
export function TestButton({ disabled }: { disabled: boolean }) {
  const runs = useRuns()
  if (runs === null) return null
  return (
    <span className="inline-flex">
      <Button
        icon={<FlaskConical aria-hidden />}
        className="rounded-r-none"
        disabled={disabled}
        onClick={runs.again}
      >
        {t`Test`}
      </Button>
      <button
        type="button"
        aria-label={t`Test with another event…`}
        title={t`Test with another event…`}
        disabled={disabled}
        onClick={runs.ask}
        className={cx(buttonClass("outline", true), "-ml-px w-6 rounded-l-none")}
      >
        <ChevronDown aria-hidden />
      </button>
    </span>
  )
}

/** How the latest run stands, above the drawing. */
export function RunBar({
  draft,
  onSelect,
}: {
  draft: DraftHandle
  onSelect: (key: string) => void
}) {
  const runs = useRuns()
  if (runs?.run == null) return null
  const { run, executions, execution } = runs
  const { status, end } = run
  const at = failedStep(draft, end?.path ?? null)
  const spot = at === null ? null : spotOf(draft.flows, at.key)
  const running = status === "running"
  const bad = status === "lost" || end?.state === "failed" || end?.state === "refused"
  return (
    <section
      aria-label={t`The test`}
      className={cx(
        "flex min-h-9 shrink-0 flex-wrap items-center gap-x-3 gap-y-1 border-b px-3 py-1",
        bad ? "bg-failed/5" : "bg-card",
      )}
    >
      <div role="status" className="flex min-w-0 flex-1 flex-wrap items-center gap-x-2 gap-y-1">
        {run.asked.effects === "real" && <RealBadge />}
        {running ? (
          <>
            <LoaderCircle aria-hidden className="size-3.5 animate-spin text-running" />
            <Plural value={run.log.count} one="Running: # step" other="Running: # steps" />
          </>
        ) : status === "stopped" ? (
          <span>{t`Stopped. What it did until then stands on the drawing.`}</span>
        ) : status === "lost" ? (
          <span className="text-failed-text">{wordsOfLoss(run.error)}</span>
        ) : end?.state === "refused" ? (
          <span className="min-w-0 break-words text-failed-text">
            <Trans>It could not be run: {end.reason}</Trans>
          </span>
        ) : end !== null ? (
          <>
            <StateBadge state={end.state} />
            {end.state === "failed" ? (
              <span className="min-w-0 break-words">{end.failure?.message ?? end.reason}</span>
            ) : end.result !== null && end.result !== "null" ? (
              <span className="min-w-0 truncate text-muted-foreground">
                <Trans>
                  answers <span className="figures text-foreground">{preview(end.result)}</span>
                </Trans>
              </span>
            ) : (
              end.reason !== "" && <span className="text-muted-foreground">{end.reason}</span>
            )}
            {spot !== null && at !== null && (
              <Button look="ghost" onClick={() => onSelect(at.key)}>
                {t`Show “${titleOf(spot.node)}”`}
              </Button>
            )}
            {end.cut && (
              <span className="text-xs text-muted-foreground">{t`Not all of its steps are shown.`}</span>
            )}
          </>
        ) : null}
        {end !== null && end.where !== "" && spot === null && (
          <span className="figures text-xs text-muted-foreground">{end.where}</span>
        )}
        {runs.stale && !running && (
          <span className="text-xs text-muted-foreground">
            {t`The draft was edited since: dashed results may be others now.`}
          </span>
        )}
      </div>
      {executions.length > 1 && (
        <Stepper
          what={t`Call`}
          at={executions.indexOf(execution)}
          count={executions.length}
          onAt={(next) => runs.showExecution(executions[next] ?? 0)}
        />
      )}
      {running ? (
        <Button icon={<Square aria-hidden />} onClick={runs.stop}>
          {t`Stop`}
        </Button>
      ) : (
        <>
          <Button look="ghost" icon={<RotateCw aria-hidden />} onClick={runs.again}>
            {run.asked.effects === "real" ? t`Run again, stubbed` : t`Run again`}
          </Button>
          {run.asked.effects === "real" && (
            <Button look="ghost" icon={<Zap aria-hidden />} onClick={() => runs.start(run.asked)}>
              {t`Run again for real`}
            </Button>
          )}
          <IconButton name={t`Take the results away`} onClick={runs.clear}>
            <X aria-hidden />
          </IconButton>
        </>
      )}
    </section>
  )
}

function wordsOfLoss(error: unknown): string {
  if (error instanceof ApiError && error.problem.kind === "StaleEdit") {
    return t`Somebody edited the draft at that moment, and so nothing was run. Run it again.`
  }
  if (error instanceof ApiError || error instanceof Offline) return error.message
  return t`The connection was lost before the end of the run. What it told until then stands on the drawing.`
}
