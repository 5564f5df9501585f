import { t } from "@lingui/core/macro"
import { Plural, Trans } from "@lingui/react/macro"
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { Pause, Play, Undo2, X } from "lucide-react"
import { useState } from "react"
import { type Bulk, bulkQuery, type BulkTurn, turnBulk } from "~/api/bulks"
import type { Schemas } from "~/api/client"
import { useSession } from "~/features/session/context"
import { useRenewal } from "~/features/session/renewal"
import { Button } from "~/ui/button"
import { cx } from "~/ui/class"
import { Dialog } from "~/ui/dialog"
import { FormError, Pending } from "~/ui/notice"
import { Progress } from "~/ui/progress"
import { StateBadge } from "~/ui/state"
import { length, Time } from "~/ui/time"
import { isAboutInstances } from "./list"
import { figuresQuery, type Integration } from "./queries"

type Rollout = Schemas["RolloutView"]

const RENEW_MS = 500
const FIGURES_MS = 1_500

/** One upgrade of many instances: how far it is, its figures, and what one can do about it. */
export function RolloutDetail({
  id,
  integration,
  onOpen,
}: {
  id: string
  integration: Integration
  onOpen: (bulk: string) => void
}) {
  const bulk = useQuery(bulkQuery(id))
  const figures = useQuery(figuresQuery(id))
  useRenewal(["bulk", id], RENEW_MS, isAboutInstances)
  useRenewal(["rollout", id], FIGURES_MS, (n) => n.kind === "changes" || isAboutInstances(n))
  if (bulk.data === undefined) return <Pending of={bulk} />
  const now = bulk.data
  const come = now.done + now.refused
  return (
    <div className="flex flex-col gap-4 p-4">
      <div className="flex flex-col gap-1">
        <h2 className="text-base font-semibold">{titleOf(now, integration)}</h2>
        <p className="flex flex-wrap items-center gap-2">
          <StateBadge state={now.state} />
          <span className="figures" aria-live="polite">
            <Trans>
              {come.toLocaleString()} of {now.total.toLocaleString()}
            </Trans>
          </span>
          <span className="text-muted-foreground">
            <Trans>
              begun <Time at={now.made_at} />
            </Trans>
          </span>
        </p>
        <Progress value={come} max={now.total} className="mt-1">
          {now.stages.slice(0, -1).map((end) => (
            <span
              key={end}
              title={t`a stage ends after ${end.toLocaleString()}`}
              style={{ left: `${(end / Math.max(1, now.total)) * 100}%` }}
              className="absolute -top-0.5 h-2.5 w-px bg-foreground"
            />
          ))}
        </Progress>
        {now.reason !== "" && <p className="break-words">{now.reason}</p>}
        <RuleLine bulk={now} />
      </div>
      <Turns bulk={now} onOpen={onOpen} />
      {figures.data === undefined ? (
        <Pending of={figures} lines={3} />
      ) : (
        <>
          <Figures rollout={figures.data} />
          <Canary rollout={figures.data} />
        </>
      )}
      {now.refused > 0 && (
        <section aria-label={t`Not moved`}>
          <h3 className="pb-1 font-medium text-waiting">
            <Plural value={now.refused} one="# could not be moved" other="# could not be moved" />
          </h3>
          <ul className="flex flex-col gap-1">
            {now.refusals.map((each) => (
              <li key={each.id} className="break-words">
                {each.why}
              </li>
            ))}
          </ul>
        </section>
      )}
    </div>
  )
}

/** The rule by which it pauses itself, while it may yet. */
function RuleLine({ bulk }: { bulk: Bulk }) {
  const rule = (bulk.wanted as { pause_on?: { share: string; least: number } }).pause_on
  if (rule === undefined || bulk.ended_at !== null) return null
  return (
    <p className="text-muted-foreground">
      <Trans>
        It pauses where more than {rule.share} of the new version’s executions fail, of{" "}
        {rule.least.toLocaleString()} at least.
      </Trans>
    </p>
  )
}

/** Say what an upgrade does: to which version, or back of which one. */
export function titleOf(bulk: Bulk, integration: Integration): string {
  const wanted = bulk.wanted as { version?: string; back_of?: string }
  if (wanted.back_of !== undefined) return t`Back to what was before`
  const found = integration.versions.find((each) => each.hash === wanted.version)
  return t`Upgrade to version ${found?.number ?? wanted.version?.slice(0, 8) ?? ""}`
}

function Turns({ bulk, onOpen }: { bulk: Bulk; onOpen: (bulk: string) => void }) {
  const { can } = useSession()
  const client = useQueryClient()
  const [asks, setAsks] = useState(false)
  const turn = useMutation({
    mutationFn: (what: BulkTurn) => turnBulk(bulk.id, what),
    onSuccess: (made, what) => {
      setAsks(false)
      for (const key of ["bulk", "rollouts", "rollout"]) {
        void client.invalidateQueries({ queryKey: [key] })
      }
      if (what === "back") onOpen(made.id)
    },
  })
  const busy = (what: BulkTurn) => turn.isPending && turn.variables === what
  const isBack = "back_of" in bulk.wanted
  const left = bulk.total - bulk.done - bulk.refused
  const running = bulk.state === "running"
  const paused = bulk.state === "paused"
  return (
    <>
      <div className="flex flex-wrap gap-2">
        {paused && can("configure") && (
          <Button
            look="primary"
            icon={<Play aria-hidden />}
            busy={busy("resume")}
            onClick={() => turn.mutate("resume")}
          >
            {t`Go on with the other ${left.toLocaleString()}`}
          </Button>
        )}
        {!running && !isBack && bulk.done > 0 && can("configure") && (
          <Button icon={<Undo2 aria-hidden />} onClick={() => setAsks(true)}>
            {t`Roll back…`}
          </Button>
        )}
        {running && can("operate") && (
          <Button
            icon={<Pause aria-hidden />}
            busy={busy("pause")}
            onClick={() => turn.mutate("pause")}
          >{t`Pause`}</Button>
        )}
        {(running || paused) && can("operate") && (
          <Button
            icon={<X aria-hidden />}
            busy={busy("cancel")}
            onClick={() => turn.mutate("cancel")}
          >
            {t`End it here`}
          </Button>
        )}
      </div>
      {!asks && <FormError error={turn.error} />}
      {asks && (
        <Dialog
          title={t`Roll back`}
          onClose={() => setAsks(false)}
          onSubmit={() => turn.mutate("back")}
          footer={
            <>
              <Button onClick={() => setAsks(false)}>{t`Cancel`}</Button>
              <Button type="submit" look="danger" busy={busy("back")}>
                {t`Roll back ${bulk.done.toLocaleString()}`}
              </Button>
            </>
          }
        >
          <p>
            <Plural
              value={bulk.done}
              one="The instance that was moved gets the version and the config that it had before."
              other="The # instances that were moved get the version and the config that each had before."
            />{" "}
            {t`One that was upgraded or configured since is left alone. Executions that have begun keep their version.`}
          </p>
          <FormError error={turn.error} />
        </Dialog>
      )}
    </>
  )
}

/** What ended on each version since it began, the new one on top. */
function Figures({ rollout }: { rollout: Rollout }) {
  const cell = "figures px-2 py-1 text-right"
  return (
    <section aria-label={t`Figures`}>
      <h3 className="pb-1 font-medium">
        <Trans>
          Executions that ended since <Time at={rollout.since} />
        </Trans>
      </h3>
      <div className="overflow-x-auto rounded-md border">
        <table className="w-full border-collapse">
          <thead>
            <tr className="border-b text-xs text-muted-foreground">
              <th className="px-2 py-1 text-left font-normal">{t`Version`}</th>
              <th className={cx(cell, "font-normal")}>{t`Instances`}</th>
              <th className={cx(cell, "font-normal")}>{t`Succeeded`}</th>
              <th className={cx(cell, "font-normal")}>{t`Failed`}</th>
              <th className={cx(cell, "font-normal")}>{t`95 % took at most`}</th>
            </tr>
          </thead>
          <tbody>
            {rollout.versions.map((each) => (
              <tr
                key={each.version.hash}
                className={cx(
                  "border-b border-border/60 last:border-0",
                  each.is_new && "bg-accent",
                )}
              >
                <th scope="row" className="px-2 py-1 text-left font-medium">
                  {each.version.number ?? each.version.hash.slice(0, 8)}
                  {each.is_new && <span className="text-xs font-normal"> {t`new`}</span>}
                </th>
                <td className={cell}>{each.instances.toLocaleString()}</td>
                <td className={cell}>{share(each.succeeded, each.ended)}</td>
                <td className={cx(cell, each.failed > 0 && "font-medium text-failed-text")}>
                  {share(each.failed, each.ended)}
                </td>
                <td className={cell}>{each.p95_ms === null ? "–" : length(each.p95_ms)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  )
}

/** A count, and its share of all where there are any. */
export function share(count: number, of: number): string {
  if (of === 0) return "0"
  const percent = (count / of) * 100
  const text = percent > 0 && percent < 1 ? percent.toFixed(1) : Math.round(percent).toString()
  return `${count.toLocaleString()} (${text} %)`
}

function Canary({ rollout }: { rollout: Rollout }) {
  if (rollout.canary.length === 0) return null
  return (
    <section aria-label={t`Canary`}>
      <h3 className="pb-1 font-medium">
        <Trans>
          Canary: <Plural value={rollout.canary.length} one="# instance" other="# instances" />
        </Trans>
      </h3>
      <ul className="max-h-64 overflow-auto rounded-md border">
        {rollout.canary.map((each) => (
          <li
            key={each.id}
            className="flex flex-wrap items-center gap-x-3 border-b border-border/60 px-3 py-1 last:border-0"
          >
            <span className="min-w-0 truncate">
              {each.customer_name} / {each.name}
            </span>
            <span className="ml-auto text-xs text-muted-foreground">
              {each.moved
                ? t`moved, now ${each.state}`
                : each.why === null
                  ? t`on ${each.version.number ?? each.version.hash.slice(0, 8)}`
                  : t`not moved`}
            </span>
            {each.why !== null && <span className="w-full text-xs text-waiting">{each.why}</span>}
          </li>
        ))}
      </ul>
    </section>
  )
}
