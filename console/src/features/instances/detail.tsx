import { t } from "@lingui/core/macro"
import { Plural, Trans } from "@lingui/react/macro"
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { useEffect, useEffectEvent, useState } from "react"
import { answerOf, api, exactBody, ifMatch } from "~/api/client"
import { connectionQuery } from "~/api/connections"
import {
  formQuery,
  healthQuery,
  type Instance,
  instanceQuery,
  isMoving,
  listenersQuery,
} from "~/api/instances"
import { isStatus } from "~/api/problem"
import { type Receiver, receiverQuery } from "~/api/receivers"
import { ConnectionBadge } from "~/features/connections/state"
import { Causes } from "~/features/customers/detail"
import { Stale, useSending } from "~/features/forms/dialog"
import { parseMembers } from "~/features/forms/json"
import { Health } from "~/features/receivers/list"
import { useSession } from "~/features/session/context"
import { moved, useRenewal } from "~/features/session/renewal"
import { Button } from "~/ui/button"
import { Id } from "~/ui/copy"
import { type Fact, FactList, Section } from "~/ui/facts"
import { FormError, Notice, Pending } from "~/ui/notice"
import { type Tab, Tabs } from "~/ui/tabs"
import { Time } from "~/ui/time"
import { toast } from "~/ui/toast"
import { ChangeAccount } from "./account"
import { InstanceActions } from "./actions"
import { useConfig } from "./config"
import { Endpoints } from "./endpoints"
import { ConfigPage } from "./fields"
import { Revisions } from "./revisions"
import { DevelopmentBadge, InstanceBadge } from "./state"

const RECEIVERS = "halflap-webhooks"
const RENEW_MS = 1_000

/** An instance: how it is, what it needs, its config, its endpoints, its former configs. */
export function InstanceDetailView({
  id,
  view,
  onView,
  onGone,
}: {
  id: string
  view: string | undefined
  onView: (view: string) => void
  onGone: () => void
}) {
  const query = useQuery(instanceQuery(id))
  useRenewal(["instances", "one", id], RENEW_MS, (news) => moved(news, "instances"))
  useRenewal(["instances", "one", id, "health"], 3_000, (news) => news.kind === "changes")
  const listening = useQuery(listenersQuery(id)).data?.length ?? 0
  const isReceiver = query.data?.value.integration === RECEIVERS
  const receiver = useQuery({ ...receiverQuery(id), enabled: isReceiver }).data
  if (query.data === undefined) return <Pending of={query} />
  const { value: instance, config, etag } = query.data
  const tabs: Tab[] = [
    { key: "overview", label: t`Overview`, content: () => <Overview instance={instance} /> },
    {
      key: "config",
      label: t`Config`,
      content: () => <Config instance={instance} config={config} etag={etag} />,
    },
    {
      key: "endpoints",
      label: listening > 0 ? t`Endpoints and listeners` : t`Endpoints`,
      count: Object.keys(instance.urls).length + listening,
      content: () => <Endpoints instance={instance} />,
    },
    { key: "history", label: t`History`, content: () => <Revisions instance={instance} /> },
  ]
  return (
    <article aria-label={instance.name}>
      <header className="flex flex-col gap-2 px-4 pt-4 pb-3">
        <div className="flex flex-wrap items-start justify-between gap-3">
          <div className="min-w-0">
            <h2 className="flex flex-wrap items-center gap-2 text-lg font-semibold">
              <span className="min-w-0 break-words">{instance.name}</span>
              <InstanceBadge
                state={instance.state}
                paused={instance.paused.length > 0}
                trouble={instance.trouble}
              />
              {instance.development && <DevelopmentBadge />}
            </h2>
            <p className="flex flex-wrap items-center gap-x-2 text-muted-foreground">
              <span>
                {instance.integration} {instance.version.number}
              </span>
              ·
              <Link
                to="/customers/$customer"
                params={{ customer: instance.customer }}
                className="link"
              >
                {instance.customer_name}
              </Link>
            </p>
          </div>
          <InstanceActions
            instance={instance}
            etag={etag}
            onGone={onGone}
            onConfig={() => onView("config")}
          />
        </div>
        <Trouble instance={instance} />
        {receiver !== undefined && <OfReceiver receiver={receiver} />}
      </header>
      <Tabs label={t`Parts`} tabs={tabs} selected={view} onSelect={onView} />
    </article>
  )
}

/** An instance that is a receiver of webhooks: how it is, and where it is managed. */
function OfReceiver({ receiver }: { receiver: Receiver }) {
  return (
    <div>
      <Health receiver={receiver} />
      <Link
        to="/customers/$customer"
        params={{ customer: receiver.customer }}
        search={{ view: "webhooks" }}
        className="link"
      >
        {t`Manage it among the customer’s webhooks`}
      </Link>
    </div>
  )
}

/** What keeps an instance from being what it is to be. */
function Trouble({ instance }: { instance: Instance }) {
  const deployment = instance.deployment
  if (isMoving(instance.state)) {
    return (
      <p role="status" className="text-running">
        <Trans>It waits for {instance.waits_for}.</Trans>{" "}
        {deployment !== null && <DeploymentLink id={deployment} />}
      </p>
    )
  }
  const said = instance.error
  return (
    <>
      {said !== null && (
        <p role="alert" className="rounded-md border border-destructive/40 px-3 py-2 break-words">
          <span className="text-failed-text">{said}</span>{" "}
          {deployment !== null && <DeploymentLink id={deployment} />}
          {instance.repetition !== null && instance.repetition.next_at !== null && (
            <span className="block text-muted-foreground">
              <Trans>
                It is tried again by itself at <Time at={instance.repetition.next_at} />.
              </Trans>
            </span>
          )}
        </p>
      )}
      {instance.paused.map((each) => (
        <p key={`${each.what}${each.flow}`} className="text-waiting">
          {each.what === "flow" ? (
            <Trans>
              The flow {each.flow} is paused since <Time at={each.since} /> by {each.by}.
            </Trans>
          ) : each.what === "customer" ? (
            <Trans>
              Its customer is paused since <Time at={each.since} /> by {each.by}.
            </Trans>
          ) : (
            <Trans>
              Paused since <Time at={each.since} /> by {each.by}.
            </Trans>
          )}{" "}
          {each.reason}
        </p>
      ))}
    </>
  )
}

function DeploymentLink({ id }: { id: string }) {
  return (
    <Link to="/executions/$execution" params={{ execution: id }} className="link">
      {t`Show its deployment`}
    </Link>
  )
}

function Overview({ instance }: { instance: Instance }) {
  const health = useQuery(healthQuery(instance.id)).data
  const facts: Fact[] = [
    [t`Instance`, <Id key="id" id={instance.id} />],
    [
      t`Version`,
      <span key="version">
        {instance.version.number} <code>{instance.version.hash.slice(0, 12)}</code>
      </span>,
    ],
  ]
  if (health !== undefined) {
    const { failed, backlog, last_ok: ok, last_failed: wrong } = health
    facts.push(
      [
        t`Failed in 24 h`,
        <Link
          key="failed"
          to="/executions"
          search={{ instance: instance.id, state: ["failed"], since: "24h" }}
          className={failed === 0 ? "hover:underline" : "text-failed-text hover:underline"}
        >
          {failed === null || failed > 1_000 ? "1,000+" : failed.toLocaleString()}
        </Link>,
      ],
      [
        t`Not ended yet`,
        <Link
          key="backlog"
          to="/executions"
          search={{ instance: instance.id, state: ["queued", "running", "waiting"] }}
          className="hover:underline"
        >
          {backlog.toLocaleString()}
        </Link>,
      ],
      [t`Last success`, ok === null ? t`none yet` : <Time key="ok" at={ok} distance />],
    )
    if (wrong !== null) facts.push([t`Last failure`, <Time key="wrong" at={wrong} distance />])
  }
  const filtered = Object.entries(instance.counters).flatMap(([flow, each]) =>
    Object.entries(each).map(([name, count]): Fact => [`${flow}: ${name}`, count.toLocaleString()]),
  )
  return (
    <div className="flex flex-col gap-6">
      <Section
        title={t`How it fares`}
        actions={
          <Link to="/executions" search={{ instance: instance.id }} className="link">
            {t`All its executions`}
          </Link>
        }
      >
        <FactList facts={facts} />
      </Section>
      <Causes query={{ instance: instance.id }} />
      <Section title={t`Connections`}>
        {Object.keys(instance.connections).length === 0 ? (
          <p className="text-muted-foreground">{t`It needs none.`}</p>
        ) : (
          <ul className="flex flex-col divide-y rounded-md border">
            {Object.entries(instance.connections).map(([field, id]) => (
              <ConnectionRow key={field} field={field} id={id} instance={instance} />
            ))}
          </ul>
        )}
      </Section>
      {filtered.length > 0 && (
        <Section title={t`Counted, not kept`}>
          <FactList facts={filtered} />
        </Section>
      )}
    </div>
  )
}

function ConnectionRow({ field, id, instance }: { field: string; id: string; instance: Instance }) {
  const { can } = useSession()
  const [changing, setChanging] = useState(false)
  const query = useQuery(connectionQuery(id))
  const connection = query.data?.value
  return (
    <li className="flex items-center gap-3 px-3 py-1.5">
      <span className="w-28 shrink-0 truncate text-muted-foreground" title={field}>
        {field}
      </span>
      {connection !== undefined && <ConnectionBadge connection={connection} />}
      <Link
        to="/connections"
        search={{ open: id }}
        className="min-w-0 flex-1 truncate hover:underline"
      >
        {connection?.name ?? id}
      </Link>
      {connection !== undefined && connection.parked > 0 && (
        <span className="text-waiting">
          <Plural value={connection.parked} one="# waits" other="# wait" />
        </span>
      )}
      {can("configure") && !isMoving(instance.state) && (
        <Button look="ghost" onClick={() => setChanging(true)}>{t`Change account…`}</Button>
      )}
      {changing && (
        <ChangeAccount instance={instance} field={field} onClose={() => setChanging(false)} />
      )}
    </li>
  )
}

type ConfigBase = {
  revision: number
  config: string
  connections: Record<string, string>
  etag: string | null
}

function Config({
  instance,
  config,
  etag,
}: {
  instance: Instance
  config: string
  etag: string | null
}) {
  const form = useQuery(formQuery(instance.integration, instance.version.hash))
  // While somebody changes it, it stays as it was then: what another one saves is shown, not mixed in.
  const [held, setHeld] = useState<ConfigBase | null>(null)
  const latest = { revision: instance.revision, config, connections: instance.connections, etag }
  const base = held ?? latest
  if (instance.payload_hidden) {
    return <Notice title={t`Your role does not show the config of this customer`} />
  }
  if (form.data === undefined) return <Pending of={form} lines={4} />
  return (
    <ConfigEditor
      key={base.revision}
      instance={instance}
      pages={form.data.pages}
      base={base}
      onChanged={(changed) => setHeld((now) => (changed ? (now ?? base) : null))}
    />
  )
}

/** The config as a form: changed in place, with what somebody else changed meanwhile shown. */
function ConfigEditor({
  instance,
  pages,
  base,
  onChanged,
}: {
  instance: Instance
  pages: Parameters<typeof useConfig>[0]
  base: ConfigBase
  onChanged: (changed: boolean) => void
}) {
  const { can } = useSession()
  const client = useQueryClient()
  const state = useConfig(pages, base, `halflap-config-${instance.id}`)
  const controls = [...state.controls.values()]
  const { changed } = state.form
  const tell = useEffectEvent(onChanged)
  useEffect(() => tell(changed), [changed])
  const valuesOf = (text: string, links: Record<string, string>) => ({
    ...parseMembers(text, state.controls.keys()),
    ...Object.fromEntries(Object.entries(links)),
  })
  const sent = useSending(
    state.form,
    controls,
    async () => {
      const found = await client.query({ ...instanceQuery(instance.id), staleTime: 0 })
      return {
        values: valuesOf(found.config, found.value.connections),
        etag: found.etag,
      }
    },
    (_, mark) =>
      answerOf(
        api.PUT("/api/instances/{instance}/config", {
          params: { path: { instance: instance.id } },
          ...ifMatch(mark),
          ...exactBody(`{${state.text()}}`),
        }),
      ),
    () => {
      state.form.reset()
      toast(t`The config is saved`, t`New events run with it.`)
      void client.invalidateQueries({ queryKey: ["instances"] })
    },
  )
  const place = {
    integration: instance.integration,
    version: instance.version.hash,
    customer: instance.customer,
  }
  const mayChange = can("configure")
  return (
    <form
      noValidate
      className="flex flex-col gap-6"
      onSubmit={(event) => {
        event.preventDefault()
        sent.submit()
      }}
    >
      <fieldset disabled={!mayChange} className="flex min-w-0 flex-col gap-6">
        {pages.map((page) => (
          <Section key={page.title} title={page.title}>
            <ConfigPage page={page} place={place} config={state} />
          </Section>
        ))}
      </fieldset>
      {sent.stale !== null && <Stale {...sent.stale} controls={controls} form={state.form} />}
      <FormError error={isStatus(sent.error, 412) ? null : sent.error} />
      {mayChange && (
        <div className="flex gap-2">
          <Button type="submit" look="primary" busy={sent.busy} disabled={!state.form.changed}>
            {t`Save the config`}
          </Button>
          {state.form.changed && (
            <Button onClick={state.form.reset}>{t`Drop what I changed`}</Button>
          )}
        </div>
      )}
    </form>
  )
}

export function useRotate(instance: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: ({ flow, grace }: { flow: string; grace: number }) =>
      answerOf(
        api.POST("/api/instances/{instance}/secrets/{flow}", {
          params: { path: { instance, flow } },
          body: { grace_seconds: grace },
        }),
      ),
    onSettled: () => client.invalidateQueries({ queryKey: ["instances"] }),
  })
}
