import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { ArrowLeft, ArrowRight, Check, Circle, LoaderCircle, X, Zap } from "lucide-react"
import { type ReactNode, useEffect, useMemo, useRef, useState } from "react"
import { answerOf, api, exactBody, type Schemas } from "~/api/client"
import { type CustomerDetail, customerQuery } from "~/api/customers"
import { stepsQuery } from "~/api/execution"
import { type Form, formQuery, type Instance, instanceQuery, isMoving } from "~/api/instances"
import { ApiError, isStatus } from "~/api/problem"
import { type Control, typedIn } from "~/features/forms/schema"
import { useForm } from "~/features/forms/state"
import { readStored, store, useDraftName } from "~/features/session/draft"
import { Fields, useListedLabels } from "~/features/forms/fields"
import { shownOf } from "~/features/forms/shown"
import { useSession } from "~/features/session/context"
import { moved, useRenewal } from "~/features/session/renewal"
import { Button, buttonClass } from "~/ui/button"
import { cx } from "~/ui/class"
import { type Fact, FactList, Section } from "~/ui/facts"
import { FormError, Notice, Pending } from "~/ui/notice"
import { useUnsigned } from "./account"
import { useConfig } from "./config"
import { ConfigPage } from "./fields"
import { InstanceBadge } from "./state"

export type WizardPlace = {
  integration?: string
  version?: string
  /** The page of the form: its number, or `review`. */
  page?: string
  instance?: string
}

const REVIEW = "review"

/** Activate an integration for a customer: page by page, resumable, with what happens at the end. */
export function Wizard({
  customer: id,
  place,
  onPlace,
}: {
  customer: string
  place: WizardPlace
  onPlace: (place: WizardPlace) => void
}) {
  const customer = useQuery(customerQuery(id))
  if (customer.data === undefined) return <Pending of={customer} />
  const { value } = customer.data
  return (
    <div className="mx-auto flex max-w-4xl flex-col gap-6 p-6">
      <header>
        <p className="text-muted-foreground">
          <Link
            to="/customers/$customer"
            params={{ customer: value.id }}
            className="hover:underline"
          >
            {value.name}
          </Link>
        </p>
        <h1 className="text-xl font-semibold">{t`Activate an integration`}</h1>
      </header>
      {place.instance !== undefined ? (
        <Progress
          instance={place.instance}
          onBack={() => onPlace({ ...place, instance: undefined })}
        />
      ) : place.integration === undefined || place.version === undefined ? (
        <Choose onChoose={(integration, version) => onPlace({ integration, version, page: "0" })} />
      ) : (
        <FillIn
          key={`${place.integration}@${place.version}`}
          customer={value}
          integration={place.integration}
          version={place.version}
          page={place.page ?? "0"}
          onPlace={onPlace}
        />
      )}
    </div>
  )
}

type Listed = Schemas["IntegrationView"]

/** The version that is meant of an integration: the offered one, else production's, else the newest. */
function meant(each: Listed): { hash: string; number: number | null; offered: boolean } | null {
  const { offered, production } = each.targets
  const [newest] = each.versions
  const hash = offered ?? production ?? newest?.hash
  if (hash === undefined) return null
  const number = each.versions.find((version) => version.hash === hash)?.number ?? null
  return { hash, number, offered: offered !== undefined }
}

function Choose({ onChoose }: { onChoose: (integration: string, version: string) => void }) {
  const query = useQuery({
    queryKey: ["integrations", "choose"],
    queryFn: async ({ signal }) => {
      const query = { limit: 1_000 }
      return (await answerOf(api.GET("/api/integrations", { params: { query }, signal }))).items
    },
  })
  if (query.data === undefined) return <Pending of={query} />
  if (query.data.length === 0) {
    return (
      <Notice title={t`No integration is published yet`}>
        <Trans>
          <code>halflap deploy</code> publishes one.
        </Trans>
      </Notice>
    )
  }
  const some = query.data
    .map((each) => ({ each, version: meant(each) }))
    .sort((a, b) => Number(b.version?.offered ?? false) - Number(a.version?.offered ?? false))
  return (
    <Section title={t`Which integration?`}>
      <ul className="grid grid-cols-1 gap-3 sm:grid-cols-2">
        {some.map(({ each, version }) => (
          <li key={each.name}>
            <button
              type="button"
              disabled={version === null}
              onClick={() => version !== null && onChoose(each.name, version.hash)}
              className="flex h-full w-full flex-col gap-0.5 rounded-md border px-4 py-3 text-left hover:border-primary hover:bg-accent"
            >
              <span className="text-base font-medium">{each.title}</span>
              <span className="text-muted-foreground">
                <code>{each.name}</code> {version?.number ?? ""}
                {version?.offered === true && t` · offered`}
              </span>
            </button>
          </li>
        ))}
      </ul>
    </Section>
  )
}

type FillInProps = {
  customer: CustomerDetail
  integration: string
  version: string
  page: string
  onPlace: (place: WizardPlace) => void
}

function FillIn(props: FillInProps) {
  const form = useQuery(formQuery(props.integration, props.version))
  if (form.data === undefined) return <Pending of={form} />
  return <Pages {...props} form={form.data} />
}

function Pages({
  customer,
  integration,
  version,
  page,
  onPlace,
  form,
}: FillInProps & { form: Form }) {
  const client = useQueryClient()
  const key = `halflap-activate-${customer.id}-${integration}`
  const name = useDraftName(key)
  const madeKey = `${name}-made`
  const config = useConfig(form.pages, null, key)
  const nameControl = useMemo(
    (): Control[] => [
      {
        name: "name",
        title: t`Name of the instance`,
        description: t`It has to differ from the others of this customer.`,
        required: true,
        kind: "text",
        longest: 120,
        initial: integration,
      },
    ],
    [integration],
  )
  const named = useForm(nameControl, () => ({ name: integration }), `${key}-name`)
  const at = page === REVIEW ? form.pages.length : Math.min(Number(page) || 0, form.pages.length)
  const go = (to: number) =>
    onPlace({ integration, version, page: to >= form.pages.length ? REVIEW : String(to) })
  const run = useMutation({
    mutationFn: async () => {
      const made = readStored(madeKey) as { id: string; version: string } | undefined
      let id = made === undefined ? "" : await configured(made, version, config.text())
      if (id === "") {
        const head = JSON.stringify({
          customer: customer.id,
          integration,
          version,
          name: typedIn(named.raws["name"]).trim(),
        })
        const body = `${head.slice(0, -1)},${config.text()}}`
        id = (await answerOf(api.POST("/api/instances", exactBody(body)))).id
        // It is there, whatever comes next: another try goes on with it.
        store(madeKey, { id, version })
      }
      await answerOf(
        api.POST("/api/instances/{instance}/activate", { params: { path: { instance: id } } }),
      )
      return id
    },
    onSuccess: (id) => {
      for (const each of [name, `${name}-name`, madeKey]) store(each, undefined)
      void client.invalidateQueries({ queryKey: ["instances"] })
      onPlace({ integration, version, instance: id })
    },
    onError: (error) => {
      config.form.refuse(error)
      const fields = error instanceof ApiError ? Object.keys(error.problem.fields ?? {}) : []
      if (fields.includes("name")) named.refuse(error)
      const first = form.pages.findIndex((each) =>
        each.fields.some((field) => fields.some((name) => name.split(".")[0] === field.name)),
      )
      if (first >= 0) go(first)
    },
  })
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => heading.current?.focus(), [at])
  const isReview = at === form.pages.length
  const current = form.pages[at]
  const wrong = config.wrongPages()
  const unsigned = useUnsigned(config.connections())
  const [tried, setTried] = useState(false)
  const waits = form.pages.findIndex((each) => each.fields.some(({ name }) => unsigned.has(name)))
  const next = () => {
    const isFine = config.form.check(current?.fields)
    if (waits === at) setTried(true)
    else if (isFine) go(at + 1)
  }
  const place = { integration, version: version, customer: customer.id }
  const titles = [...form.pages.map((each) => each.title), t`Review`]
  return (
    <div className="grid grid-cols-1 gap-8 md:grid-cols-[180px_minmax(0,1fr)]">
      <Steps titles={titles} at={at} wrong={at === 0 ? [] : wrong} onGo={go} />
      <form
        noValidate
        className="flex min-w-0 flex-col gap-6"
        onSubmit={(event) => {
          event.preventDefault()
          if (!isReview) next()
          else if (waits >= 0) {
            setTried(true)
            go(waits)
          } else if (wrong[0] !== undefined && !config.form.check()) go(wrong[0])
          else if (named.check()) run.mutate()
        }}
      >
        <div>
          <h2 ref={heading} tabIndex={-1} className="text-lg font-semibold outline-none">
            {isReview ? t`Review` : current?.title}
          </h2>
          <p className="text-muted-foreground">{form.title}</p>
        </div>
        {current !== undefined ? (
          <ConfigPage
            page={current}
            place={place}
            config={config}
            {...(tried ? { unsigned } : {})}
          />
        ) : (
          <Review form={form} config={config}>
            <div className="max-w-xl">
              <Fields controls={nameControl} form={named} />
            </div>
          </Review>
        )}
        <Refusal
          error={run.error}
          customer={customer.id}
          integration={integration}
          name={typedIn(named.raws["name"]).trim()}
        />
        <div className="flex gap-2">
          <Button
            icon={<ArrowLeft aria-hidden />}
            onClick={() => (at === 0 ? onPlace({}) : go(at - 1))}
          >
            {t`Back`}
          </Button>
          {isReview ? (
            <Button type="submit" look="primary" icon={<Zap aria-hidden />} busy={run.isPending}>
              {t`Activate`}
            </Button>
          ) : (
            <Button type="submit" look="primary" icon={<ArrowRight aria-hidden />}>
              {t`Next`}
            </Button>
          )}
        </div>
      </form>
    </div>
  )
}

/** Why it was not activated; where its name is taken, the instance that was made first has it. */
function Refusal({
  error,
  ...wanted
}: {
  error: Error | null
  customer: string
  integration: string
  name: string
}) {
  const { customer, integration, name } = wanted
  const { data } = useQuery({
    queryKey: ["instances", "named", wanted],
    enabled: isStatus(error, 409),
    staleTime: 0,
    queryFn: async ({ signal }) => {
      const query = { customer, integration, limit: 200 }
      const found = await answerOf(api.GET("/api/instances", { params: { query }, signal }))
      return found.items.find((each) => each.name === name) ?? null
    },
  })
  if (data == null || !isStatus(error, 409)) return <FormError error={error} />
  return (
    <p role="alert" className="flex flex-wrap items-center gap-2">
      <Trans>
        An instance of that name was made before, perhaps in another tab:{" "}
        <Link to="/instances/$instance" params={{ instance: data.id }} className="link">
          {data.name}
        </Link>
      </Trans>
      <InstanceBadge state={data.state} />
      {t`Two are made only if this one gets another name.`}
    </p>
  )
}

/** Configure what was made before, at the version that is meant now; an empty id where it is gone. */
async function configured(
  made: { id: string; version: string },
  version: string,
  config: string,
): Promise<string> {
  const params = { path: { instance: made.id } }
  try {
    if (made.version === version) {
      const body = exactBody(`{${config}}`)
      await answerOf(api.PUT("/api/instances/{instance}/config", { params, ...body }))
    } else {
      const body = exactBody(`{"version":${JSON.stringify(version)},${config}}`)
      await answerOf(api.POST("/api/instances/{instance}/upgrade", { params, ...body }))
    }
  } catch (error) {
    if (isStatus(error, 404)) return "" // removed meanwhile, in another tab, say
    throw error
  }
  return made.id
}

function Steps({
  titles,
  at,
  wrong,
  onGo,
}: {
  titles: string[]
  at: number
  wrong: number[]
  onGo: (to: number) => void
}) {
  return (
    <ol aria-label={t`Steps`} className="flex flex-row flex-wrap gap-1 md:flex-col">
      {titles.map((title, place) => {
        const isWrong = wrong.includes(place) && place < at
        return (
          <li key={`${place}${title}`} className="min-w-0">
            <button
              type="button"
              aria-current={place === at ? "step" : undefined}
              onClick={() => place < at && onGo(place)}
              disabled={place > at}
              className={cx(
                "flex min-h-8 w-full items-center gap-2 rounded-md px-2 py-1 text-left [&_svg]:shrink-0 disabled:text-muted-foreground",
                place === at && "bg-accent font-medium text-accent-foreground",
                place < at && "hover:bg-secondary",
              )}
            >
              {isWrong ? (
                <X aria-label={t`something is wrong`} className="size-4 text-failed-text" />
              ) : place < at ? (
                <Check aria-hidden className="size-4 text-succeeded" />
              ) : (
                <Circle aria-hidden className="size-4 text-muted-foreground" />
              )}
              <span className="min-w-0 wrap-anywhere">{title}</span>
            </button>
          </li>
        )
      })}
    </ol>
  )
}

function Review({
  form,
  config,
  children,
}: {
  form: Form
  config: ReturnType<typeof useConfig>
  children: ReactNode
}) {
  const labels = useListedLabels()
  const shown = (name: string) => shownOf(config.controls.get(name), config.form.raws[name], labels)
  return (
    <div className="flex flex-col gap-6">
      {form.pages.map((page) => (
        <Section key={page.title} title={page.title}>
          <FactList
            facts={page.fields
              .filter((field) => !config.form.hidden.has(field.name))
              .map((field): Fact => [
                field.title,
                field.connection === null ? (
                  shown(field.name)
                ) : (
                  <ConnectionName key={field.name} id={typedIn(config.form.raws[field.name])} />
                ),
              ])}
          />
        </Section>
      ))}
      {children}
    </div>
  )
}

function ConnectionName({ id }: { id: string }) {
  const query = useQuery({
    queryKey: ["connections", "name", id],
    enabled: id !== "",
    queryFn: ({ signal }) =>
      answerOf(
        api.GET("/api/connections/{connection}", { params: { path: { connection: id } }, signal }),
      ),
  })
  return query.data?.name ?? (id === "" ? "–" : id)
}

/** What happens as an instance is activated, step by step. */
function Progress({ instance: id, onBack }: { instance: string; onBack: () => void }) {
  const query = useQuery(instanceQuery(id))
  useRenewal(
    ["instances", "one", id],
    300,
    (news) => moved(news, "instances") || news.kind === "changes",
  )
  if (query.data === undefined) return <Pending of={query} />
  return <ProgressOf instance={query.data.value} onBack={onBack} />
}

type Mark = "done" | "now" | "later" | "wrong"

function ProgressOf({ instance, onBack }: { instance: Instance; onBack: () => void }) {
  const client = useQueryClient()
  const again = useMutation({
    mutationFn: () =>
      answerOf(
        api.POST("/api/instances/{instance}/redeploy", {
          params: { path: { instance: instance.id } },
        }),
      ),
    onSettled: () => client.invalidateQueries({ queryKey: ["instances"] }),
  })
  const { state, deployment } = instance
  const isOver = state === "active"
  const isWrong = state === "failed"
  const release: Mark = isOver ? "done" : isWrong ? "later" : "later"
  return (
    <div className="flex flex-col gap-5">
      <div className="flex items-center gap-3">
        <h2 className="text-lg font-semibold">{instance.name}</h2>
        <InstanceBadge state={state} />
      </div>
      <ol aria-label={t`Progress`} className="flex flex-col gap-2">
        <Line mark="done" title={t`It takes events, and what comes is held`} />
        {deployment !== null ? (
          <DeploymentSteps execution={deployment} over={isOver} />
        ) : (
          <Line
            mark={isOver ? "done" : "now"}
            title={t`Its webhooks are made, its deploy flow runs`}
          />
        )}
        <Line mark={release} title={t`What was held begins; new events run`} />
      </ol>
      {isMoving(state) && instance.waits_for !== "" && (
        <p role="status" className="text-muted-foreground">
          <Trans>It waits for {instance.waits_for}.</Trans>
        </p>
      )}
      {instance.error !== null && (
        <p
          role="alert"
          className="rounded-md border border-destructive/40 px-3 py-2 break-words text-failed-text"
        >
          {instance.error}
        </p>
      )}
      <FormError error={again.error} />
      <div className="flex flex-wrap gap-2">
        {isWrong && (
          <>
            <Button look="primary" busy={again.isPending} onClick={() => again.mutate()}>
              {t`Try again`}
            </Button>
            <Link
              to="/instances/$instance"
              params={{ instance: instance.id }}
              search={{ view: "config" }}
              className={buttonClass()}
            >
              {t`Change its config`}
            </Link>
          </>
        )}
        <Link
          to="/instances/$instance"
          params={{ instance: instance.id }}
          className={buttonClass(isOver ? "primary" : "outline")}
        >
          {t`Open the instance`}
        </Link>
        {isOver && Object.keys(instance.urls).length > 0 && (
          <Link
            to="/instances/$instance"
            params={{ instance: instance.id }}
            search={{ view: "endpoints" }}
            className={buttonClass()}
          >
            {t`Show its URLs`}
          </Link>
        )}
        {isOver && instance.development && (
          <Link to="/drafts" search={{}} className={buttonClass()}>
            {t`Back to the drafts`}
          </Link>
        )}
        {isOver && <Button look="ghost" onClick={onBack}>{t`Activate another one`}</Button>}
      </div>
    </div>
  )
}

function DeploymentSteps({ execution, over }: { execution: string; over: boolean }) {
  const { live } = useSession()
  const query = useQuery({
    ...stepsOnce(execution),
  })
  useEffect(() => live.watch(`steps:${execution}`), [live, execution])
  useRenewal(
    stepsOnce(execution).queryKey,
    250,
    (news) => news.kind === "changes" || moved(news, `steps:${execution}`),
  )
  const steps = query.data ?? []
  const marks: Record<string, Mark> = {
    succeeded: "done",
    failed: "wrong",
    running: "now",
    retrying: "now",
    waiting: "now",
  }
  return (
    <>
      {steps.map((each) => (
        <Line key={each.path} mark={marks[each.status] ?? "now"} title={each.title || each.path} />
      ))}
      {!over && steps.every((each) => each.status === "succeeded") && (
        <Line mark="now" title={t`Its webhooks are made, its deploy flow runs`} />
      )}
    </>
  )
}

function stepsOnce(execution: string) {
  return {
    queryKey: [...stepsQuery(execution).queryKey, "progress"],
    queryFn: async ({ signal }: { signal: AbortSignal }) => {
      const params = { path: { execution }, query: { limit: 200 } }
      return (await answerOf(api.GET("/api/executions/{execution}/steps", { params, signal })))
        .items
    },
  }
}

function Line({ mark, title }: { mark: Mark; title: string }) {
  const icons: Record<Mark, ReactNode> = {
    done: <Check aria-label={t`done`} className="size-4 text-succeeded" />,
    now: <LoaderCircle aria-label={t`under way`} className="size-4 animate-spin text-running" />,
    later: <Circle aria-label={t`still to come`} className="size-4 text-muted-foreground" />,
    wrong: <X aria-label={t`failed`} className="size-4 text-failed-text" />,
  }
  return (
    <li className="flex items-center gap-2">
      {icons[mark]}
      <span className={mark === "later" ? "text-muted-foreground" : undefined}>{title}</span>
    </li>
  )
}
