import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useQuery, useQueryClient } from "@tanstack/react-query"
import { Link, useNavigate } from "@tanstack/react-router"
import { Check, Circle, ExternalLink, Plus, RefreshCw, Zap } from "lucide-react"
import { type ReactNode, useEffect, useState } from "react"
import type { Sandbox } from "~/api/connections"
import { NewCustomer } from "~/features/customers/new"
import { BeginDialog } from "~/features/designer/frame/drafts"
import { InstanceBadge } from "~/features/instances/state"
import { moved, useRenewal, useReturn } from "~/features/session/renewal"
import { Button, buttonClass } from "~/ui/button"
import { cx } from "~/ui/class"
import { CopyButton } from "~/ui/copy"
import { FactList } from "~/ui/facts"
import { Pending } from "~/ui/notice"
import { StateBadge } from "~/ui/state"
import { doneOf, type Facts, factsQuery, type Step, STEPS } from "./steps"
import { setProgress } from "./store"

const RENEW_MS = 500

/** The first steps: from nothing to an event that flowed, each ticked off by what there is. */
export function GuidePage() {
  const navigate = useNavigate()
  const facts = useQuery(factsQuery)
  const { refetch } = facts
  useEffect(() => setProgress("begun"), [])
  useReturn(() => void refetch())
  useRenewal(
    ["guide"],
    RENEW_MS,
    (news) => news.kind === "changes" || moved(news, "instances", "connections"),
  )
  const end = () => {
    setProgress("over")
    void navigate({ to: "/overview", search: {} })
  }
  const done = facts.data && doneOf(facts.data)
  return (
    <section aria-label={t`First steps`} className="h-full overflow-auto">
      <div className="mx-auto flex max-w-3xl flex-col gap-4 p-4 sm:p-6">
        <header className="flex flex-wrap items-start gap-2">
          <div className="min-w-0 flex-1 basis-80">
            <h1 className="text-xl font-semibold">
              {done?.size === STEPS.length ? t`It runs` : t`First steps`}
            </h1>
            <p className="text-muted-foreground">
              {done?.size === STEPS.length ? (
                <Trans>An event came, and what it led to is on disk, step by step.</Trans>
              ) : (
                <Trans>
                  From nothing to Salesforce ⇄ Acme, in both directions, against two sandbox apps on
                  this machine. About ten minutes.
                </Trans>
              )}
            </p>
          </div>
          <Button
            icon={<RefreshCw aria-hidden />}
            busy={facts.isFetching}
            onClick={() => void refetch()}
          >
            {t`Look again`}
          </Button>
          <Button look={done?.size === STEPS.length ? "primary" : "outline"} onClick={end}>
            {done?.size === STEPS.length ? t`To the overview` : t`Put away`}
          </Button>
        </header>
        {facts.data === undefined || done === undefined ? (
          <Pending of={facts} />
        ) : (
          <Steps facts={facts.data} done={done} />
        )}
      </div>
    </section>
  )
}

function Steps({ facts, done }: { facts: Facts; done: ReadonlySet<Step> }) {
  const next = STEPS.find((each) => !done.has(each))
  const at = (step: Step) => ({ done: done.has(step), next: step === next })
  return (
    <ol className="flex flex-col gap-2">
      <Item {...at("sandboxes")} title={t`Run the sandbox apps`}>
        <SandboxApps sandboxes={facts.sandboxes} />
      </Item>
      <Item {...at("integration")} title={t`Publish an integration`}>
        <IntegrationStep facts={facts} />
      </Item>
      <Item {...at("customer")} title={t`Add a customer`}>
        <CustomerStep facts={facts} />
      </Item>
      <Item {...at("instance")} title={t`Connect its accounts, and activate`}>
        <InstanceStep facts={facts} />
      </Item>
      <Item {...at("event")} title={t`Let an event come`}>
        <EventStep facts={facts} />
      </Item>
      <Item {...at("end")} title={t`Look at its execution`}>
        <EndStep facts={facts} />
      </Item>
    </ol>
  )
}

function Item({
  title,
  done,
  next,
  children,
}: {
  title: string
  done: boolean
  next: boolean
  children: ReactNode
}) {
  return (
    <li
      aria-current={next ? "step" : undefined}
      className={cx("flex gap-3 rounded-md border p-3", next && "border-primary")}
    >
      {done ? (
        <Check aria-label={t`done`} className="mt-0.5 size-4 shrink-0 text-succeeded" />
      ) : (
        <Circle aria-label={t`to do`} className="mt-0.5 size-4 shrink-0 text-muted-foreground" />
      )}
      <div className="flex min-w-0 flex-1 flex-col items-start gap-2">
        <h2 className="font-semibold">{title}</h2>
        {children}
      </div>
    </li>
  )
}

/** A line for a terminal. */
function Command({ line }: { line: string }) {
  return (
    <span className="inline-flex max-w-full items-center gap-1 rounded-md bg-muted py-0.5 pr-1 pl-2">
      <code className="min-w-0 overflow-x-auto whitespace-nowrap" tabIndex={0}>
        {line}
      </code>
      <CopyButton text={line} name={t`Copy ${line}`} />
    </span>
  )
}

const appName = (app: Sandbox["app"]) => (app === "acme" ? "Acme" : "Salesforce")

function SandboxApps({ sandboxes }: { sandboxes: Sandbox[] }) {
  const refused = sandboxes.find((each) => each.state === "refused")
  return (
    <>
      <p className="text-muted-foreground">
        {t`Two small apps with real APIs, in memory. Each in a terminal of its own:`}
      </p>
      <ul className="flex w-full flex-col gap-1">
        {sandboxes.map((each) => (
          <li key={each.app} className="flex flex-wrap items-center gap-x-3 gap-y-1">
            <Command line={`halflap sandbox ${each.app}`} />
            {each.state === "running" ? (
              <span className="inline-flex items-center gap-1 text-succeeded">
                <Check aria-hidden className="size-4" />
                <Trans>runs at {each.url}</Trans>
              </span>
            ) : (
              <span className="text-muted-foreground">
                {each.state === "refused"
                  ? t`blocked by the settings of this server`
                  : t`not found yet`}
              </span>
            )}
          </li>
        ))}
      </ul>
      {refused !== undefined && (
        <div role="alert" className="flex flex-col items-start gap-1 text-waiting">
          <Trans>
            Integrations call public addresses only, unless you allow more. Stop the running server
            first (Ctrl+C), then start it with:
          </Trans>
          <Command line="HALFLAP_EGRESS_ALLOW=127.0.0.1 halflap serve" />
        </div>
      )}
    </>
  )
}

function IntegrationStep({ facts }: { facts: Facts }) {
  const [begins, setBegins] = useState(false)
  return (
    <>
      <p className="text-muted-foreground">
        <Trans>
          The two-way example, in the folder in which this server was started (elsewhere,{" "}
          <code>halflap deploy --to</code> sends it):
        </Trans>
      </p>
      <Command line="halflap new salesforce-acme --dir ." />
      <Command line="halflap deploy" />
      <p className="flex flex-wrap items-center gap-2 text-muted-foreground">
        {t`Or write one of your own:`}
        <Button icon={<Plus aria-hidden />} onClick={() => setBegins(true)}>
          {t`New integration…`}
        </Button>
      </p>
      {facts.integrations.length > 0 && (
        <p>
          <Link to="/integrations" search={{}} className="link">
            {facts.integrations.join(", ")}
          </Link>
        </p>
      )}
      {begins && <BeginDialog onClose={() => setBegins(false)} />}
    </>
  )
}

function CustomerStep({ facts }: { facts: Facts }) {
  const client = useQueryClient()
  const [makes, setMakes] = useState(false)
  return (
    <>
      <p className="text-muted-foreground">
        {t`A customer is one of your product’s. Each has connections and instances of its own.`}
      </p>
      {facts.customer === undefined ? (
        <Button icon={<Plus aria-hidden />} onClick={() => setMakes(true)}>
          {t`New customer`}
        </Button>
      ) : (
        <Link
          to="/customers/$customer"
          params={{ customer: facts.customer.id }}
          className="link break-words"
        >
          {facts.customer.name}
        </Link>
      )}
      {makes && (
        <NewCustomer
          onClose={() => setMakes(false)}
          onMade={() => {
            setMakes(false)
            void client.invalidateQueries({ queryKey: ["guide"] })
          }}
        />
      )}
    </>
  )
}

/** Return what is filled in, by name, also within another field: its kind stands for that. */
function fieldsOf(values: Sandbox["values"]): [string, string][] {
  return Object.entries(values ?? {}).flatMap(([name, value]): [string, string][] => {
    if (typeof value === "string") return [[name, value]]
    if (typeof value !== "object" || value === null) return []
    return [[name, t`Client login`], ...fieldsOf({ ...value, kind: null })]
  })
}

function InstanceStep({ facts: { customer, instance, sandboxes } }: { facts: Facts }) {
  const some = instance?.state === "active" ? [] : sandboxes.filter((each) => each.values !== null)
  const labels: Record<string, string> = {
    base_url: t`Base URL`,
    api_key: t`API key`,
    login_url: t`Login URL`,
    auth: t`Auth`,
    client_id: t`Client ID`,
    client_secret: t`Client secret`,
  }
  return (
    <>
      <p className="text-muted-foreground">
        {t`An instance is an integration as one customer runs it. It asks for a connection to each app:`}
      </p>
      {some.map((each) => (
        <section key={each.app} className="w-full rounded-md bg-muted p-2">
          <h3 className="pb-1 font-medium">
            {appName(each.app)}
            <span className="font-normal text-muted-foreground"> · {each.account}</span>
          </h3>
          <FactList
            facts={fieldsOf(each.values).map(([name, value]) => [
              labels[name] ?? name,
              <span key={name} className="inline-flex max-w-full items-center">
                <code className="truncate">{value}</code>
                <CopyButton
                  text={value}
                  name={t`Copy: ${appName(each.app)}, ${labels[name] ?? name}`}
                />
              </span>,
            ])}
          />
        </section>
      ))}
      {instance !== undefined ? (
        <p className="flex flex-wrap items-center gap-2">
          <Link to="/instances/$instance" params={{ instance: instance.id }} className="link">
            {instance.name}
          </Link>
          <InstanceBadge state={instance.state} />
        </p>
      ) : (
        customer !== undefined && (
          <Link
            to="/customers/$customer/activate"
            params={{ customer: customer.id }}
            search={{}}
            className={buttonClass("primary")}
          >
            <Zap aria-hidden />
            <Trans>Activate for {customer.name}</Trans>
          </Link>
        )
      )}
    </>
  )
}

function EventStep({ facts: { sandboxes, instance } }: { facts: Facts }) {
  const running = sandboxes.filter((each) => each.state === "running")
  return (
    <>
      <p className="text-muted-foreground">
        {t`Make an account in Salesforce, as a person would. It is in Acme a moment later.`}
      </p>
      <p className="flex flex-wrap items-center gap-2">
        {running.map((each) => (
          <a
            key={each.app}
            href={`${each.url}/`}
            target="_blank"
            rel="noreferrer"
            className={buttonClass()}
          >
            <ExternalLink aria-hidden />
            <Trans>Open {appName(each.app)}</Trans>
          </a>
        ))}
        {instance !== undefined && (
          <Link to="/instances/$instance" params={{ instance: instance.id }} className="link">
            {t`The URLs of its flows`}
          </Link>
        )}
      </p>
    </>
  )
}

function EndStep({ facts: { execution } }: { facts: Facts }) {
  return (
    <>
      <p className="text-muted-foreground">
        {t`Each event becomes an execution: what came, each step with its values, how it ended.`}
      </p>
      {execution !== undefined && (
        <p className="flex flex-wrap items-center gap-2">
          <Link to="/executions/$execution" params={{ execution: execution.id }} className="link">
            {execution.flow}
          </Link>
          <StateBadge state={execution.state} />
        </p>
      )}
    </>
  )
}
