import { t } from "@lingui/core/macro"
import { useQuery } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import type { ReactNode } from "react"
import { answerOf, api, type Schemas } from "~/api/client"
import { loadConnections } from "~/api/connections"
import { loadInstances } from "~/api/instances"
import { ConnectionBadge } from "~/features/connections/state"
import { ListenerBadge } from "~/features/instances/listeners"
import { InstanceBadge } from "~/features/instances/state"
import { Health } from "~/features/receivers/list"
import { Button } from "~/ui/button"
import { Time } from "~/ui/time"

const RENEW_MS = 15_000
const limit = 100

async function load(customer: string | undefined, signal: AbortSignal) {
  const whose = customer === undefined ? {} : { customer }
  const stand = { state: "parked,stopped,retrying", limit, ...whose }
  // Of all customers, not those that a person disabled: they would fill the page.
  const trouble = customer === undefined ? "failing" : "disabled,failing"
  const missing = new Set<string>()
  // One that does not come hides none of the others.
  const part = async <Row,>(name: string, asked: Promise<{ items: Row[] }>): Promise<Row[]> => {
    try {
      return (await asked).items
    } catch (error) {
      if (signal.aborted) throw error
      missing.add(name)
      return []
    }
  }
  const pauses = answerOf(api.GET("/api/pauses", { signal }))
  const [listeners, refused, away, instances, receivers, paused] = await Promise.all([
    part(t`listeners`, answerOf(api.GET("/api/listeners", { params: { query: stand }, signal }))),
    part(
      t`connections`,
      loadConnections({ status: "unauthorized", ...whose }, undefined, signal, limit),
    ),
    part(t`connections`, loadConnections({ status: "away", ...whose }, undefined, signal, limit)),
    part(t`instances`, loadInstances({ state: "failed", ...whose }, undefined, signal, limit)),
    part(
      t`receivers`,
      answerOf(
        api.GET("/api/receivers", { params: { query: { trouble, limit, ...whose } }, signal }),
      ),
    ),
    part(
      t`pauses`,
      pauses.then((items) => ({ items })),
    ),
  ])
  return {
    listeners,
    connections: [...refused, ...away],
    instances,
    receivers,
    pauses: paused.filter((each) => customer === undefined || each.customer === customer),
    missing: [...missing],
  }
}

/** What a person has to mend, of a customer or all, each with why and the way to it; nothing if all is well. */
export function Attention({ customer }: { customer?: string }) {
  const { data, refetch } = useQuery({
    queryKey: ["overview", "attention", customer],
    refetchInterval: RENEW_MS,
    queryFn: ({ signal }) => load(customer, signal),
  })
  if (data === undefined) return null
  const { missing, ...found } = data
  const { listeners, connections, instances, receivers, pauses } = found
  const count = Object.values(found).reduce((sum, each) => sum + each.length, 0)
  if (count === 0 && missing.length === 0) return null
  return (
    <section
      aria-label={t`Needs attention`}
      className="flex flex-col gap-1 rounded-md border border-failed/50 px-3 py-2"
    >
      <h2 className="font-semibold">
        {t`Needs attention`} <span className="figures text-muted-foreground">{count}</span>
      </h2>
      {missing.length > 0 && (
        <p role="status" className="flex flex-wrap items-center gap-2 text-muted-foreground">
          {t`Not all could be looked at: ${missing.join(", ")}.`}
          <Button onClick={() => void refetch()}>{t`Try again`}</Button>
        </p>
      )}
      <ul
        className="flex max-h-60 flex-col gap-1 overflow-auto"
        {...(count > 0 && { tabIndex: 0 })}
      >
        {listeners.map((each) => (
          <Item
            key={`${each.instance} ${each.flow} ${each.shard}`}
            badge={<ListenerBadge listener={each} />}
            why={each.error}
          >
            <Link
              to="/instances/$instance"
              params={{ instance: each.instance }}
              search={{ view: "endpoints" }}
              className="link"
            >
              {each.customer_name ?? each.customer} / {each.instance_name ?? each.instance}
            </Link>
            <span>{each.flow}</span>
            {each.connection !== null && (
              <Link to="/connections" search={{ open: each.connection }} className="link">
                {t`Mend its connection`}
              </Link>
            )}
          </Item>
        ))}
        {connections.map((each) => (
          <Item
            key={each.id}
            badge={<ConnectionBadge connection={each} />}
            why={
              each.away_since === null ? (
                t`The app refused its credentials.`
              ) : (
                <>
                  {each.rests_because} <Time at={each.away_since} />
                </>
              )
            }
          >
            <Link to="/connections" search={{ open: each.id }} className="link">
              {each.customer_name === null ? each.name : `${each.customer_name} / ${each.name}`}
            </Link>
          </Item>
        ))}
        {instances.map((each) => (
          <Item key={each.id} badge={<InstanceBadge state={each.state} />} why={each.error}>
            <Link to="/instances/$instance" params={{ instance: each.id }} className="link">
              {each.customer_name} / {each.name}
            </Link>
          </Item>
        ))}
        {receivers.map((each) => (
          <Item
            key={each.id}
            badge={
              <InstanceBadge
                state={each.state}
                trouble={each.enabled && each.failing_since !== null ? "failing" : "disabled"}
              />
            }
            why={<Health receiver={each} />}
          >
            <Link
              to="/customers/$customer"
              params={{ customer: each.customer }}
              search={{ view: "webhooks" }}
              className="link"
            >
              {each.customer_name} / {each.name}
            </Link>
          </Item>
        ))}
        {pauses.map((each) => (
          <Item
            key={`${each.id} ${each.flow ?? ""}`}
            badge={<InstanceBadge state="active" paused />}
            why={<WhyPaused pause={each} />}
          >
            {each.instance_name === null ? (
              <Link to="/customers/$customer" params={{ customer: each.id }} className="link">
                {each.customer_name}
              </Link>
            ) : (
              <Link to="/instances/$instance" params={{ instance: each.id }} className="link">
                {each.customer_name} / {each.instance_name}
              </Link>
            )}
            {each.flow !== null && <span>{each.flow}</span>}
          </Item>
        ))}
      </ul>
    </section>
  )
}

function Item({ badge, why, children }: { badge: ReactNode; why: ReactNode; children: ReactNode }) {
  return (
    <li className="flex min-w-0 flex-wrap items-center gap-x-3">
      {badge}
      {children}
      <div className="min-w-0 wrap-anywhere text-failed-text">{why}</div>
    </li>
  )
}

function WhyPaused({ pause }: { pause: Schemas["NamedPause"] }) {
  const { by, reason, since } = pause
  return (
    <>
      {[by, reason].filter((each) => each !== "").join(": ")} <Time at={since} />
    </>
  )
}
