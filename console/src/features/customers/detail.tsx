import { t } from "@lingui/core/macro"
import { Plural, Trans } from "@lingui/react/macro"
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { Pencil, Plus, Zap } from "lucide-react"
import { type ReactNode, useMemo, useState } from "react"
import { answerOf, api, exactBody, ifMatch, taggedOf } from "~/api/client"
import { loadConnections } from "~/api/connections"
import { causesQuery, type CustomerDetail, customerQuery } from "~/api/customers"
import { loadInstances } from "~/api/instances"
import { ConnectionBadge } from "~/features/connections/state"
import { NewConnection } from "~/features/connections/new"
import { FormDialog } from "~/features/forms/dialog"
import { DevelopmentBadge, InstanceBadge } from "~/features/instances/state"
import { Attention } from "~/features/overview/attention"
import { Receivers } from "~/features/receivers/list"
import { useSession } from "~/features/session/context"
import { moved, useRenewal } from "~/features/session/renewal"
import { Button, buttonClass } from "~/ui/button"
import { Id } from "~/ui/copy"
import { FactList, Section } from "~/ui/facts"
import { Choice } from "~/ui/field"
import { Pending } from "~/ui/notice"
import { type Tab, Tabs } from "~/ui/tabs"
import { Time } from "~/ui/time"
import { toast } from "~/ui/toast"
import { EraseCustomer, RemoveCustomer } from "./erase"
import { limitControls, retentionControls } from "./limits"
import { Tokens } from "./tokens"

const RENEW_MS = 2_000
const FEW = 50

/** A customer: what it has, how that fares, and what may be changed. */
export function CustomerDetailView({
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
  const { can } = useSession()
  const query = useQuery(customerQuery(id))
  useRenewal(
    ["customers", "one", id],
    RENEW_MS,
    (news) => news.kind === "changes" || moved(news, "instances", "connections"),
  )
  if (query.data === undefined) return <Pending of={query} />
  const { value: customer, etag } = query.data
  const tabs: Tab[] = [
    {
      key: "overview",
      label: t`Overview`,
      content: () => <Overview customer={customer} etag={etag} />,
    },
    { key: "instances", label: t`Instances`, content: () => <Instances customer={customer} /> },
    {
      key: "connections",
      label: t`Connections`,
      content: () => <Connections customer={customer} />,
    },
  ]
  if (!customer.development) {
    tabs.push({
      key: "webhooks",
      label: t`Webhooks`,
      content: () => (
        <Receivers customer={customer}>
          <Trans>The customer's own endpoints, which are sent your product's events, signed.</Trans>
        </Receivers>
      ),
    })
  }
  if (can("admin")) {
    tabs.push({ key: "tokens", label: t`Tokens`, content: () => <Tokens customer={customer} /> })
  }
  if (can("configure")) {
    tabs.push({
      key: "settings",
      label: t`Settings`,
      content: () => <Settings customer={customer} etag={etag} onGone={onGone} />,
    })
  }
  return (
    <article aria-label={customer.name}>
      <header className="flex flex-wrap items-start justify-between gap-3 px-4 pt-4 pb-3">
        <div className="min-w-0">
          <h2 className="text-lg font-semibold break-words">{customer.name}</h2>
          <p className="flex flex-wrap items-center gap-x-3 text-muted-foreground">
            <Id id={customer.id} />
            {customer.external_id !== null && (
              <span>
                <Trans>
                  in your product: <code>{customer.external_id}</code>
                </Trans>
              </span>
            )}
            {customer.private && <span>{t`private`}</span>}
            {customer.development && <DevelopmentBadge />}
          </p>
        </div>
        {can("configure") && (
          <Link
            to="/customers/$customer/activate"
            params={{ customer: customer.id }}
            className={buttonClass("primary")}
          >
            <Zap aria-hidden />
            {t`Activate an integration`}
          </Link>
        )}
      </header>
      <Tabs label={t`Parts`} tabs={tabs} selected={view} onSelect={onView} />
    </article>
  )
}

type Limits = CustomerDetail["limits"]

/** A limit as it counts: the customer's own, else the server's. */
function limitOf(name: keyof Limits, { limits, default_limits }: CustomerDetail): number | null {
  const own = limits[name] ?? default_limits[name] ?? null
  return own === 0 ? null : own
}

function Use({ now, most }: { now: number; most: number | null }) {
  const text =
    most === null ? now.toLocaleString() : t`${now.toLocaleString()} of ${most.toLocaleString()}`
  return (
    <span className="flex items-center gap-2">
      <span className="figures">{text}</span>
      {most !== null && (
        <meter
          aria-label={text}
          className="h-1.5 w-24"
          min={0}
          max={most}
          high={most * 0.9}
          value={Math.min(now, most)}
        />
      )}
    </span>
  )
}

function Overview({ customer, etag }: { customer: CustomerDetail; etag: string | null }) {
  const { can } = useSession()
  const client = useQueryClient()
  const [editing, setEditing] = useState(false)
  const controls = useMemo(() => limitControls(), [])
  const renew = () => client.invalidateQueries({ queryKey: ["customers"] })
  const rate = limitOf("rate", customer)
  return (
    <div className="flex flex-col gap-6">
      <Attention customer={customer.id} />
      <Section
        title={t`Limits, and their use now`}
        actions={
          can("configure") && (
            <Button icon={<Pencil aria-hidden />} onClick={() => setEditing(true)}>
              {t`Edit the limits`}
            </Button>
          )
        }
      >
        <FactList
          facts={[
            [
              t`Running`,
              <Use key="r" now={customer.running} most={limitOf("concurrency", customer)} />,
            ],
            [t`Queued`, <Use key="q" now={customer.queued} most={limitOf("backlog", customer)} />],
            [t`Begin in a second`, rate === null ? t`no limit` : rate.toLocaleString()],
          ]}
        />
      </Section>
      <Causes query={{ customer: customer.id }} />
      {editing && (
        <FormDialog
          title={t`Limits of ${customer.name}`}
          controls={controls}
          based={{ values: customer.limits, etag }}
          reload={async () => {
            const found = await client.query({ ...customerQuery(customer.id), staleTime: 0 })
            return { values: found.value.limits, etag: found.etag }
          }}
          storeKey={`halflap-limits-${customer.id}`}
          verb={t`Save the limits`}
          clear
          onClose={() => setEditing(false)}
          send={(text, mark) =>
            taggedOf(
              api.PUT("/api/customers/{customer}/limits", {
                params: { path: { customer: customer.id } },
                ...ifMatch(mark),
                ...exactBody(text),
              }),
            )
          }
          onDone={() => {
            setEditing(false)
            void renew()
          }}
        >
          <p className="text-muted-foreground">
            <Trans>What is left blank is as the server has it for all customers.</Trans>
          </p>
        </FormDialog>
      )}
    </div>
  )
}

/** What failed lately, by cause; each opens its failures. */
export function Causes({ query }: { query: { customer?: string; instance?: string } }) {
  const causes = useQuery(causesQuery(query))
  useRenewal(["causes", "few"], RENEW_MS, (news) => news.kind === "changes")
  return (
    <Section
      title={t`Failures`}
      actions={
        <Link to="/executions" search={{ ...query, state: ["failed"] }} className="link">
          {t`All that failed`}
        </Link>
      }
    >
      {causes.data === undefined ? (
        <Pending of={causes} lines={2} className="p-0" />
      ) : causes.data.length === 0 ? (
        <p className="text-muted-foreground">{t`No open failures: each was replayed or dismissed.`}</p>
      ) : (
        <ul className="flex flex-col divide-y rounded-md border">
          {causes.data.map((each) => (
            <li key={each.cause} className="flex items-baseline gap-3 px-3 py-1.5">
              <span className="figures w-10 shrink-0 text-right font-semibold">{each.count}</span>
              <Link
                to="/executions"
                search={{ ...query, cause: each.cause, dead: true }}
                className="min-w-0 flex-1 truncate hover:underline"
                title={each.text}
              >
                {each.text}
              </Link>
              <span className="shrink-0 text-muted-foreground">
                <Time at={each.last_at} />
              </span>
            </li>
          ))}
        </ul>
      )}
    </Section>
  )
}

function Rows({ children, none }: { children: ReactNode[]; none: string }) {
  if (children.length === 0) return <p className="py-2 text-muted-foreground">{none}</p>
  return <ul className="flex flex-col divide-y rounded-md border">{children}</ul>
}

function Instances({ customer }: { customer: CustomerDetail }) {
  const filter = { customer: customer.id }
  const query = useQuery({
    queryKey: ["instances", "few", filter],
    queryFn: ({ signal }) => loadInstances(filter, undefined, signal, FEW),
  })
  useRenewal(["instances", "few"], RENEW_MS, (news) => moved(news, "instances"))
  if (query.data === undefined) return <Pending of={query} lines={3} />
  const more = (query.data.total ?? 0) - query.data.items.length
  return (
    <>
      <Rows none={t`No integration is activated for it yet.`}>
        {query.data.items.map((each) => (
          <li key={each.id} className="flex items-center gap-3 px-3 py-2">
            <InstanceBadge
              state={each.state}
              paused={each.paused.length > 0}
              trouble={each.trouble}
            />
            <Link
              to="/instances/$instance"
              params={{ instance: each.id }}
              className="min-w-0 flex-1 truncate font-medium hover:underline"
            >
              {each.name}
            </Link>
            <span className="truncate text-muted-foreground">
              {each.integration} {each.version.number}
            </span>
          </li>
        ))}
      </Rows>
      {more > 0 && (
        <Link to="/instances" search={filter} className="link mt-2 inline-block">
          <Plural value={more} one="and # more" other="and # more" />
        </Link>
      )}
    </>
  )
}

function Connections({ customer }: { customer: CustomerDetail }) {
  const { can } = useSession()
  const [adding, setAdding] = useState(false)
  const filter = { customer: customer.id }
  const query = useQuery({
    queryKey: ["connections", "few", filter],
    queryFn: ({ signal }) => loadConnections(filter, undefined, signal, FEW),
  })
  useRenewal(["connections", "few"], RENEW_MS, (news) => moved(news, "connections"))
  if (query.data === undefined) return <Pending of={query} lines={3} />
  return (
    <div className="flex flex-col gap-3">
      {can("configure") && (
        <div>
          <Button icon={<Plus aria-hidden />} onClick={() => setAdding(true)}>
            {t`New connection`}
          </Button>
        </div>
      )}
      <Rows none={t`It has no connection, and the team has none for all.`}>
        {query.data.items.map((each) => (
          <li key={each.id} className="flex items-center gap-3 px-3 py-2">
            <ConnectionBadge connection={each} />
            <Link
              to="/connections"
              search={{ customer: customer.id, open: each.id }}
              className="min-w-0 flex-1 truncate font-medium hover:underline"
            >
              {each.name}
            </Link>
            {each.customer === null && (
              <span className="text-xs text-muted-foreground">{t`the team's`}</span>
            )}
            <span className="truncate text-muted-foreground">{each.component}</span>
          </li>
        ))}
      </Rows>
      {adding && <NewConnection customer={customer.id} onClose={() => setAdding(false)} />}
    </div>
  )
}

type Asked = "retention" | "erase" | "remove" | null

function Settings({
  customer,
  etag,
  onGone,
}: {
  customer: CustomerDetail
  etag: string | null
  onGone: () => void
}) {
  const { can } = useSession()
  const client = useQueryClient()
  const [asked, setAsked] = useState<Asked>(null)
  const controls = useMemo(() => retentionControls(), [])
  const path = { customer: customer.id }
  const renew = () => client.invalidateQueries({ queryKey: ["customers"] })
  const setPrivate = useMutation({
    mutationFn: (value: boolean) =>
      answerOf(
        api.PATCH("/api/customers/{customer}", {
          params: { path },
          ...ifMatch(etag),
          body: { private: value },
        }),
      ),
    onSettled: renew,
    onError: (error) => toast(t`It was not changed`, error.message),
  })
  const kept = (name: "execution" | "payload") =>
    customer.retention[name] ?? customer.default_retention[name] ?? null
  const days = (name: "execution" | "payload") => {
    const value = kept(name)
    return value === null ? t`for good` : <Plural value={value} one="# day" other="# days" />
  }
  return (
    <div className="flex flex-col gap-6">
      <Choice
        label={t`Private`}
        hint={
          customer.development
            ? t`It has no data of others, and whoever edits drafts works with it.`
            : t`Support does not see what its executions carry.`
        }
        checked={customer.private}
        disabled={setPrivate.isPending || customer.development}
        onChange={(event) => setPrivate.mutate(event.target.checked)}
      />
      <Section
        title={t`Retention`}
        actions={
          can("admin") && (
            <Button icon={<Pencil aria-hidden />} onClick={() => setAsked("retention")}>
              {t`Edit`}
            </Button>
          )
        }
      >
        <FactList
          facts={[
            [t`Executions are kept`, days("execution")],
            [t`Payloads are kept`, days("payload")],
          ]}
        />
      </Section>
      <Section title={t`Leaving`}>
        <p className="text-muted-foreground">
          <Trans>
            A customer without instances and connections is removed. Erasing takes all of it away,
            for good: its executions, what they carried, its connections and instances.
          </Trans>
        </p>
        <div className="flex gap-2">
          <Button onClick={() => setAsked("remove")}>{t`Remove…`}</Button>
          {can("admin") && (
            <Button look="danger" onClick={() => setAsked("erase")}>
              {t`Erase…`}
            </Button>
          )}
        </div>
      </Section>
      {asked === "retention" && (
        <FormDialog
          title={t`Retention of ${customer.name}`}
          controls={controls}
          based={{ values: customer.retention, etag }}
          reload={async () => {
            const found = await client.query({ ...customerQuery(customer.id), staleTime: 0 })
            return { values: found.value.retention, etag: found.etag }
          }}
          storeKey={`halflap-retention-${customer.id}`}
          verb={t`Save`}
          clear
          onClose={() => setAsked(null)}
          send={(text, mark) =>
            answerOf(
              api.PUT("/api/customers/{customer}/retention", {
                params: { path },
                ...ifMatch(mark),
                ...exactBody(text),
              }),
            )
          }
          onDone={() => {
            setAsked(null)
            void renew()
          }}
        />
      )}
      {asked === "remove" && (
        <RemoveCustomer customer={customer} onClose={() => setAsked(null)} onGone={onGone} />
      )}
      {asked === "erase" && (
        <EraseCustomer customer={customer} onClose={() => setAsked(null)} onGone={onGone} />
      )}
    </div>
  )
}
