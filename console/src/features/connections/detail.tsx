import { t } from "@lingui/core/macro"
import { Plural, Trans } from "@lingui/react/macro"
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { Pencil, PlugZap, Trash2 } from "lucide-react"
import { type ReactNode, useMemo, useState } from "react"
import { answerOf, api, exactBody, ifMatch } from "~/api/client"
import {
  componentsQuery,
  type ConnectionDetail,
  connectionQuery,
  testConnection,
} from "~/api/connections"
import { formQuery } from "~/api/instances"
import { connectionLimitControls } from "~/features/customers/limits"
import { FormDialog } from "~/features/forms/dialog"
import { InstanceBadge } from "~/features/instances/state"
import { useSession } from "~/features/session/context"
import { moved, useRenewal } from "~/features/session/renewal"
import { Button } from "~/ui/button"
import { Confirm } from "~/ui/confirm"
import { Id } from "~/ui/copy"
import { type Fact, FactList, Section } from "~/ui/facts"
import { FormError, Pending } from "~/ui/notice"
import { Since, Time } from "~/ui/time"
import { toast } from "~/ui/toast"
import { ChangeConnection } from "./form"
import { SignIn } from "./sign-in"
import { ConnectionBadge, signsIn } from "./state"

const RENEW_MS = 1_500

type Asked = "change" | "limits" | "remove" | null

/** A connection: whether it works, what it is made of but for secrets, and who uses it. */
export function ConnectionDetailView({ id, onGone }: { id: string; onGone: () => void }) {
  const { can } = useSession()
  const client = useQueryClient()
  const query = useQuery(connectionQuery(id))
  const [asked, setAsked] = useState<Asked>(null)
  useRenewal(
    ["connections", "one", id],
    RENEW_MS,
    (news) => news.kind === "changes" || moved(news, "connections", "instances"),
  )
  const test = useMutation({
    mutationFn: () => testConnection(id),
    onSuccess: () => toast(t`The app took its credentials`, t`What waited for it goes on.`),
    onSettled: () => client.invalidateQueries({ queryKey: ["connections"] }),
  })
  if (query.data === undefined) return <Pending of={query} />
  const { value: connection, etag } = query.data
  const close = () => {
    setAsked(null)
    void client.invalidateQueries({ queryKey: ["connections"] })
  }
  const mayChange = can("configure")
  const oauth = signsIn(connection)
  const isRefused = connection.status === "unauthorized" && !connection.needs_sign_in
  return (
    <article aria-label={connection.name} className="flex flex-col gap-6 p-4">
      <header className="flex flex-col gap-3">
        <div className="flex flex-wrap items-center gap-2">
          <h2 className="min-w-0 text-lg font-semibold break-words">{connection.name}</h2>
          <ConnectionBadge connection={connection} />
        </div>
        <p className="text-muted-foreground">{sentence(connection)}</p>
        {connection.parked > 0 && (
          <p>
            <Plural
              value={connection.parked}
              one="# execution waits for it."
              other="# executions wait for it."
            />{" "}
            <Link
              to="/executions"
              search={{ state: ["waiting"], ...owner(connection) }}
              className="link"
            >
              {t`Show what waits`}
            </Link>
          </p>
        )}
        {mayChange && oauth && (connection.needs_sign_in || isRefused) && (
          <SignIn connection={connection} again={!connection.needs_sign_in} />
        )}
        <div className="flex flex-wrap gap-2">
          {mayChange && isRefused && !oauth && (
            <Button look="primary" icon={<Pencil aria-hidden />} onClick={() => setAsked("change")}>
              {t`Give new credentials`}
            </Button>
          )}
          {can("operate") && !connection.needs_sign_in && (
            <Button
              icon={<PlugZap aria-hidden />}
              busy={test.isPending}
              onClick={() => test.mutate()}
            >
              {t`Test`}
            </Button>
          )}
          {mayChange && (
            <>
              {!(isRefused && !oauth) && (
                <Button icon={<Pencil aria-hidden />} onClick={() => setAsked("change")}>
                  {t`Change…`}
                </Button>
              )}
              <Button icon={<Trash2 aria-hidden />} onClick={() => setAsked("remove")}>
                {t`Remove…`}
              </Button>
            </>
          )}
        </div>
        <FormError error={test.error} />
      </header>
      <Section title={t`What it is`}>
        <FactList facts={facts(connection)} />
      </Section>
      <UsedBy connection={connection} />
      <Section
        title={t`Limits`}
        actions={
          mayChange && (
            <Button icon={<Pencil aria-hidden />} onClick={() => setAsked("limits")}>
              {t`Edit`}
            </Button>
          )
        }
      >
        <FactList facts={limitFacts(connection)} />
      </Section>
      {mayChange && oauth && !connection.needs_sign_in && !isRefused && (
        <Section title={t`Sign in again`}>
          <p className="text-muted-foreground">
            <Trans>For another account of the app, or with other permissions.</Trans>
          </p>
          <SignIn connection={connection} again />
        </Section>
      )}
      {asked === "change" && <Change connection={connection} etag={etag} onClose={close} />}
      {asked === "limits" && <Limits connection={connection} etag={etag} onClose={close} />}
      {asked === "remove" && (
        <Confirm
          title={t`Remove ${connection.name}`}
          verb={t`Remove the connection`}
          danger
          onClose={close}
          onConfirm={async () => {
            const params = { path: { connection: id } }
            await api.DELETE("/api/connections/{connection}", { params, ...ifMatch(etag) })
            onGone()
            toast(t`${connection.name} is removed`)
          }}
        >
          {connection.uses > 0 ? (
            <p role="alert">
              <Plural
                value={connection.uses}
                one="# instance uses it, and is to be disabled or configured first."
                other="# instances use it, and are to be disabled or configured first."
              />
            </p>
          ) : (
            <p>{t`No instance uses it. Its credentials are deleted; at the app nothing changes.`}</p>
          )}
        </Confirm>
      )}
    </article>
  )
}

const owner = ({ customer }: ConnectionDetail) => (customer === null ? {} : { customer })

function sentence(connection: ConnectionDetail): ReactNode {
  if (connection.needs_sign_in) return t`Nobody has signed in at the app yet.`
  if (connection.status === "unauthorized") {
    return t`The app refused its credentials. What needs it waits, and goes on by itself once it works again.`
  }
  if (connection.away && connection.away_since !== null) {
    return (
      <Trans>
        The app has not answered for <Since at={connection.away_since} />
        {connection.rests_because && ` (${connection.rests_because})`}. What needs it waits.
      </Trans>
    )
  }
  if (connection.rests_until !== null) {
    return (
      <Trans>
        The app is not called before <Time at={connection.rests_until} />:{" "}
        {connection.rests_because}
      </Trans>
    )
  }
  const [status] = Object.entries(connection.failed)
  if (status !== undefined) {
    const [code, count] = status
    return t`In the last hour ${count} executions failed of a call to it (HTTP ${code}).`
  }
  return connection.status === "working"
    ? t`The app took its credentials when they were last tested.`
    : t`Nobody has tested it yet.`
}

function facts(connection: ConnectionDetail): Fact[] {
  const found: Fact[] = [
    [t`Connection`, <Id key="id" id={connection.id} />],
    [
      t`Customer`,
      connection.customer === null ? (
        t`the team's own, for every customer`
      ) : (
        <Link
          key="customer"
          to="/customers/$customer"
          params={{ customer: connection.customer }}
          className="link"
        >
          {connection.customer_name ?? connection.customer}
        </Link>
      ),
    ],
    [t`App`, <code key="app">{connection.component}</code>],
  ]
  if (connection.payload_hidden) found.push([t`Fields`, t`hidden from your role`])
  for (const [name, value] of leaves(connection.fields as object)) {
    found.push([name, <span key={name}>{value}</span>])
  }
  for (const each of connection.secrets) found.push([each, <code key={each}>••••••</code>])
  if (connection.quota !== "") found.push([t`Quota at the app`, connection.quota])
  found.push([t`Made`, <Time key="made" at={connection.created_at} />])
  return found
}

/** The plain fields of a connection, by their dotted names. */
function leaves(value: object, prefix = ""): [string, string][] {
  return Object.entries(value).flatMap(([name, each]): [string, string][] =>
    typeof each === "object" && each !== null && !Array.isArray(each)
      ? leaves(each as object, `${prefix}${name}.`)
      : each === null || each === ""
        ? []
        : [[`${prefix}${name}`, Array.isArray(each) ? each.join(", ") : String(each)]],
  )
}

function limitFacts({ limits }: ConnectionDetail): Fact[] {
  return connectionLimitControls().map((each): Fact => {
    const value = limits[each.name as keyof typeof limits] ?? null
    return [
      each.title,
      value === null
        ? t`as the app's component says`
        : value === 0
          ? t`no limit`
          : value.toLocaleString(),
    ]
  })
}

function UsedBy({ connection }: { connection: ConnectionDetail }) {
  const more = connection.uses - connection.used_by.length
  return (
    <Section title={t`Used by`}>
      {connection.uses === 0 ? (
        <p className="text-muted-foreground">{t`No instance.`}</p>
      ) : (
        <ul className="flex flex-col divide-y rounded-md border">
          {connection.used_by.map((each) => (
            <li key={each.id} className="flex items-center gap-3 px-3 py-1.5">
              <InstanceBadge state={each.state} />
              <Link
                to="/instances/$instance"
                params={{ instance: each.id }}
                className="min-w-0 flex-1 truncate hover:underline"
              >
                {each.name}
              </Link>
              <span className="text-muted-foreground">{each.integration}</span>
            </li>
          ))}
        </ul>
      )}
      {more > 0 && (
        <p className="text-muted-foreground">
          <Plural value={more} one="and # more" other="and # more" />
        </p>
      )}
    </Section>
  )
}

type DialogProps = { connection: ConnectionDetail; etag: string | null; onClose: () => void }

/** Find what a connection is made of: by its component, else by the config of an instance that uses it. */
function useConnectionForm(connection: ConnectionDetail) {
  const isLocal = connection.component.includes(":")
  const components = useQuery({ ...componentsQuery, enabled: !isLocal })
  const integrations = useQuery({
    queryKey: ["connections", "one", connection.id, "form"],
    enabled: isLocal,
    queryFn: async ({ client }) => {
      const using = connection.used_by.map((each) => each.integration)
      const all = await answerOf(api.GET("/api/integrations"))
      const names = all.items.map((each) => each.name)
      for (const name of new Set([...using, ...names])) {
        const form = await client.query(formQuery(name, "newest")).catch(() => null)
        const field = form?.pages
          .flatMap((page) => page.fields)
          .find((each) => each.connection?.component === connection.component)
        if (field?.connection != null) return field.connection.form
      }
      throw new Error(t`No integration has this type of connection any more.`)
    },
  })
  const listed = components.data
  return isLocal
    ? { form: integrations.data, error: integrations.error }
    : {
        form: listed?.find((each) => each.name === connection.component)?.connection,
        error: components.error,
      }
}

function Change({ connection, etag, onClose }: DialogProps) {
  const client = useQueryClient()
  const { form, error } = useConnectionForm(connection)
  if (form === undefined) return error === null ? null : <FormError error={error} />
  return (
    <ChangeConnection
      connection={connection}
      form={form}
      etag={etag}
      reload={() => client.query({ ...connectionQuery(connection.id), staleTime: 0 })}
      onClose={onClose}
      onDone={onClose}
    />
  )
}

function Limits({ connection, etag, onClose }: DialogProps) {
  const client = useQueryClient()
  const controls = useMemo(() => connectionLimitControls(), [])
  return (
    <FormDialog
      title={t`Limits of ${connection.name}`}
      controls={controls}
      based={{ values: connection.limits, etag }}
      reload={async () => {
        const found = await client.query({ ...connectionQuery(connection.id), staleTime: 0 })
        return { values: found.value.limits, etag: found.etag }
      }}
      storeKey={`halflap-connection-limits-${connection.id}`}
      verb={t`Save the limits`}
      clear
      onClose={onClose}
      send={(text, mark) =>
        answerOf(
          api.PUT("/api/connections/{connection}/limits", {
            params: { path: { connection: connection.id } },
            ...ifMatch(mark),
            ...exactBody(text),
          }),
        )
      }
      onDone={onClose}
    />
  )
}
