import { t } from "@lingui/core/macro"
import { Link } from "@tanstack/react-router"
import type { ReactNode } from "react"
import type { Execution } from "~/api/execution"
import { Notice } from "~/ui/notice"
import { type AnyState, StateBadge } from "~/ui/state"
import { Time } from "~/ui/time"
import { Linked } from "./linked"

/** What an execution replays, its replays, what started it, and what it started. */
export function Lineage({ execution }: { execution: Execution }) {
  const { lineage, children, parent, continues, continued_by } = execution
  const chain: [string, string | null][] = [
    [t`Started by`, parent],
    [t`Continues`, continues],
    [t`Continued by`, continued_by],
  ]
  const linked = chain.filter((each): each is [string, string] => each[1] !== null)
  if (lineage.length <= 1 && children.length === 0 && linked.length === 0) {
    return <Notice title={t`It stands alone`}>{t`It is no replay, and was not replayed.`}</Notice>
  }
  return (
    <div className="flex flex-col gap-5">
      {linked.length > 0 && (
        <dl className="grid grid-cols-[max-content_minmax(0,1fr)] gap-x-4 gap-y-1 [&_dt]:text-muted-foreground">
          {linked.map(([name, id]) => (
            <div key={name} className="contents">
              <dt>{name}</dt>
              <dd>
                <To id={id} />
              </dd>
            </div>
          ))}
        </dl>
      )}
      {lineage.length > 1 && (
        <Group title={t`Replays`}>
          {lineage.map((each) => (
            <li key={each.id} className="flex flex-wrap items-center gap-x-3 gap-y-1">
              <StateBadge state={each.state as AnyState} />
              {each.id === execution.id ? (
                <code className="font-semibold">{each.id}</code>
              ) : (
                <To id={each.id} />
              )}
              <span className="text-muted-foreground">
                <Time at={each.accepted_at} />
              </span>
              <span className="text-muted-foreground">
                {each.replay_of === null
                  ? t`the first`
                  : each.from === "failed"
                    ? t`from the failed step`
                    : t`from the start`}
                {each.edited && `, ${t`with an event that ${each.edited_by ?? ""} edited`}`}
              </span>
              {each.reason !== "" && (
                <span className="min-w-0 break-words">
                  <Linked text={each.reason} />
                </span>
              )}
            </li>
          ))}
        </Group>
      )}
      {children.length > 0 && (
        <Group title={t`It started`}>
          {children.map((each) => (
            <li key={each.id} className="flex flex-wrap items-center gap-x-3 gap-y-1">
              <StateBadge state={each.state} />
              <To id={each.id} />
              <span className="text-muted-foreground">{each.flow}</span>
            </li>
          ))}
        </Group>
      )}
    </div>
  )
}

function Group({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section>
      <h2 className="pb-2 font-semibold">{title}</h2>
      <ol className="flex flex-col gap-2">{children}</ol>
    </section>
  )
}

function To({ id }: { id: string }) {
  return (
    <Link to="/executions/$execution" params={{ execution: id }} className="link">
      <code>{id}</code>
    </Link>
  )
}
