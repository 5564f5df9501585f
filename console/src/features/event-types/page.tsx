import { t } from "@lingui/core/macro"
import { Plural, Trans } from "@lingui/react/macro"
import { queryOptions, useQuery } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { ChevronDown, ChevronRight, Download } from "lucide-react"
import { answerOf, api, type Schemas } from "~/api/client"
import { buttonClass } from "~/ui/button"
import { Section } from "~/ui/facts"
import { Code } from "~/ui/json"
import { Notice, Pending } from "~/ui/notice"
import { Time } from "~/ui/time"

type EventType = Schemas["EventTypeView"]

const typesQuery = queryOptions({
  queryKey: ["event-types", "list"],
  queryFn: async ({ signal }) => (await answerOf(api.GET("/api/event-types", { signal }))).items,
})

const listenersQuery = (name: string) =>
  queryOptions({
    queryKey: ["event-types", "listeners", name],
    queryFn: ({ signal }) =>
      answerOf(
        api.GET("/api/event-types/{event_type}/listeners", {
          params: { path: { event_type: name } },
          signal,
        }),
      ),
  })

/** The types of the product's own events: their schemas, who takes them, and how many there were. */
export function EventTypesPage({
  open,
  onOpen,
}: {
  open: string | undefined
  onOpen: (name: string | undefined) => void
}) {
  const query = useQuery(typesQuery)
  return (
    <section aria-label={t`Event types`} className="flex flex-col gap-3 px-4 py-3">
      <div className="flex flex-wrap items-center justify-between gap-3">
        <h1 className="text-lg font-semibold">{t`Event types`}</h1>
        <a
          href="/api/event-types/openapi.json"
          download="webhooks.openapi.json"
          className={buttonClass()}
        >
          <Download aria-hidden />
          {t`OpenAPI document`}
        </a>
      </div>
      <p className="max-w-prose text-muted-foreground">
        <Trans>
          The events of your own product, as it declares them. They start flows, and are sent to
          receivers as webhooks.
        </Trans>
      </p>
      {query.data === undefined ? (
        <Pending of={query} lines={4} />
      ) : query.data.length === 0 ? (
        <Notice title={t`None is declared yet`}>
          {t`Your product declares them as it starts, by halflap.export or PUT /api/event-types.`}
        </Notice>
      ) : (
        <ul className="flex flex-col divide-y rounded-md border">
          {query.data.map((each) => (
            <li key={each.name}>
              <Row
                type={each}
                open={each.name === open}
                onToggle={() => onOpen(each.name === open ? undefined : each.name)}
              />
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}

function Row({ type, open, onToggle }: { type: EventType; open: boolean; onToggle: () => void }) {
  const Mark = open ? ChevronDown : ChevronRight
  return (
    <>
      <button
        type="button"
        aria-expanded={open}
        onClick={onToggle}
        className="flex w-full min-w-0 flex-wrap items-center gap-x-3 gap-y-0.5 px-3 py-2 text-left hover:bg-secondary"
      >
        <Mark aria-hidden className="size-4 shrink-0 text-muted-foreground" />
        <span className="min-w-0 flex-1 basis-56">
          <code className="break-words">{type.name}</code>{" "}
          <span className="text-muted-foreground">{type.title || firstLine(type.description)}</span>
        </span>
        <span className="text-muted-foreground">
          <Trans>version {type.version}</Trans>
        </span>
        <span className="figures text-muted-foreground">
          <Plural value={type.published} _0="not published yet" one="# event" other="# events" />
        </span>
        {type.published_at !== null && (
          <span className="text-muted-foreground">
            <Trans>
              last <Time at={type.published_at} />
            </Trans>
          </span>
        )}
      </button>
      {open && <Detail type={type} />}
    </>
  )
}

const firstLine = (text: string) => text.split("\n", 1)[0]

function Detail({ type }: { type: EventType }) {
  return (
    <div className="flex flex-col gap-4 border-t px-4 py-3">
      {type.description !== "" && <p className="break-words">{type.description}</p>}
      <Taken type={type} />
      <div className="grid gap-4 lg:grid-cols-2">
        <Section title={t`Schema of its data`}>
          <Code text={JSON.stringify(type.schema)} label={t`the schema`} />
        </Section>
        <Section title={t`Example`}>
          {type.example === null ? (
            <p className="text-muted-foreground">{t`It has none.`}</p>
          ) : (
            <Code text={JSON.stringify(type.example)} label={t`the example`} />
          )}
        </Section>
      </div>
      <p className="text-muted-foreground">
        <Trans>
          Declared so <Time at={type.changed_at} />
        </Trans>
      </p>
    </div>
  )
}

function Taken({ type }: { type: EventType }) {
  const query = useQuery(listenersQuery(type.name))
  const found = query.data
  if (found === undefined) return <Pending of={query} lines={2} />
  const more = found.receiver_count - found.receivers.length
  return (
    <Section title={t`Taken by`}>
      {found.flows.length + found.receiver_count === 0 && (
        <p className="text-muted-foreground">{t`Nobody: such events start nothing, and are not stored.`}</p>
      )}
      <ul className="flex flex-col gap-1">
        {found.flows.map((each) => (
          <li key={each.version + each.flow} className="break-words">
            <Link
              to="/integrations/$integration"
              params={{ integration: each.integration }}
              search={{}}
              className="link underline"
            >
              {each.title}
            </Link>
            {" · "}
            {each.flow}{" "}
            <span className="text-muted-foreground">
              <Plural value={each.instances} one="# instance" other="# instances" />
              {each.by_config && ` ${t`(those whose config says so)`}`}
            </span>
          </li>
        ))}
        {found.receivers.map((each) => (
          <li key={each.id} className="break-words">
            <Link
              to="/customers/$customer"
              params={{ customer: each.customer }}
              search={{ view: "webhooks" }}
              className="link underline"
            >
              {each.customer_name}
            </Link>
            {" · "}
            {each.name} <span className="text-muted-foreground">{each.types.join(", ")}</span>
            {!each.enabled ? (
              <span className="text-failed-text">
                {" · "}
                {t`disabled`}
              </span>
            ) : (
              each.failing_since !== null && (
                <span className="text-failed-text">
                  {" · "}
                  <Trans>
                    takes nothing since <Time at={each.failing_since} />
                  </Trans>
                </span>
              )
            )}
          </li>
        ))}
        {more > 0 && (
          <li className="text-muted-foreground">
            <Plural value={more} one="and # more receiver" other="and # more receivers" />
          </li>
        )}
      </ul>
    </Section>
  )
}
