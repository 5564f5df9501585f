import { t } from "@lingui/core/macro"
import { Plural } from "@lingui/react/macro"
import { useQuery } from "@tanstack/react-query"
import { lazy, Suspense, useState } from "react"
import type { Schemas } from "~/api/client"
import { Button } from "~/ui/button"
import { CopyButton } from "~/ui/copy"
import { Loading, Notice, Pending } from "~/ui/notice"
import { stepsIn } from "./apps"
import { IntegrationDrawing } from "./drawing"
import { endpointsQuery, outlineQuery, versionQuery } from "./queries"

type Flow = Schemas["FlowOutline"]

const FlowDrawing = lazy(async () => ({
  default: (await import("~/features/designer/frame/drawing")).FlowDrawing,
}))

const cardId = (flow: string) => `flow-${flow}`

/** Bring a flow's card into view, and go on from there. */
function showCard(flow: string): void {
  const card = document.getElementById(cardId(flow))
  card?.scrollIntoView({ block: "center" })
  card?.focus({ preventScroll: true })
}

/** The flows of a version: all in one drawing with the apps that they connect, then each. */
export function Flows({ integration, version }: { integration: string; version: string }) {
  const outline = useQuery(outlineQuery(integration, version))
  const whole = useQuery(versionQuery(integration, version))
  const endpoints = useQuery(endpointsQuery(integration))
  if (outline.data === undefined) return <Pending of={outline} />
  const { flows, unknown } = outline.data
  if (flows.length === 0) return <Notice title={t`It has no flows`} />
  return (
    <div className="flex flex-col gap-3">
      {whole.data?.error != null && (
        <p role="alert" className="rounded-md border border-destructive/40 px-3 py-2">
          {t`This version does not load here:`} {whole.data.error}
        </p>
      )}
      <IntegrationDrawing flows={flows} onChoose={showCard} />
      <ul className="grid grid-cols-1 gap-3 xl:grid-cols-2">
        {flows.map((flow) => (
          <li key={flow.name}>
            <FlowCard
              flow={flow}
              view={whole.data?.flows.find((each) => each.name === flow.name)}
              endpoint={endpoints.data?.find((each) => each.flow === flow.name)}
            />
          </li>
        ))}
      </ul>
      {(unknown ?? []).map((each) => (
        <p key={each.text} className="text-muted-foreground">
          {t`Code that may add flows, and cannot be followed:`} <code>{each.text}</code>
        </p>
      ))}
    </div>
  )
}

function FlowCard({
  flow,
  view,
  endpoint,
}: {
  flow: Flow
  view: Schemas["FlowView"] | undefined
  endpoint: Schemas["SharedEndpointView"] | undefined
}) {
  const inputs = Object.entries(view?.inputs ?? {})
  const [drawn, setDrawn] = useState(false)
  return (
    <article
      id={cardId(flow.name)}
      tabIndex={-1}
      aria-label={flow.title}
      className="flex h-full flex-col gap-3 rounded-md border bg-card p-3"
    >
      <header>
        <h3 className="font-semibold">{flow.title}</h3>
        <p className="text-muted-foreground">{flow.description}</p>
      </header>
      {drawn && (
        <div className="h-[60vh] overflow-hidden rounded-md border">
          <Suspense fallback={<Loading />}>
            <FlowDrawing flow={flow} />
          </Suspense>
        </div>
      )}
      <footer className="mt-auto flex flex-wrap items-center gap-x-3 gap-y-1 text-xs text-muted-foreground">
        <Button aria-expanded={drawn} onClick={() => setDrawn(!drawn)}>
          {drawn ? t`Hide the steps` : t`Draw the steps`}
        </Button>
        <code>{flow.name}</code>
        <code>{flow.trigger}</code>
        <span>
          <Plural value={stepsIn(flow.steps)} one="# step" other="# steps" />
        </span>
        {flow.preprocess && <span>{t`hands its events on to other flows`}</span>}
        {view?.subscribes === true && <span>{t`makes its webhook at the app`}</span>}
        {view?.has_url === true && endpoint === undefined && (
          <span>{t`a URL for each instance`}</span>
        )}
        {inputs.map(([name, value]) => (
          <code key={name} className="max-w-64 truncate" title={value}>
            {name}={value}
          </code>
        ))}
        {endpoint !== undefined && (
          <span className="inline-flex min-w-0 items-center gap-1">
            {t`one URL for all:`} <code className="truncate">{endpoint.url}</code>
            <CopyButton text={endpoint.url} name={t`Copy the URL`} />
          </span>
        )}
      </footer>
    </article>
  )
}
