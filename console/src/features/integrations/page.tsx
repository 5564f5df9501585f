import { t } from "@lingui/core/macro"
import { Plural, Trans } from "@lingui/react/macro"
import { keepPreviousData, useQuery } from "@tanstack/react-query"
import { Link, useNavigate } from "@tanstack/react-router"
import { ArrowUpFromLine, ChevronLeft, Layers, Zap } from "lucide-react"
import { useCallback, useState } from "react"
import type { Bulk } from "~/api/bulks"
import { loadCustomers } from "~/api/customers"
import { DraftsOf, EditButtons } from "~/features/designer/frame/drafts"
import { useSession } from "~/features/session/context"
import { useRenewal } from "~/features/session/renewal"
import { Button } from "~/ui/button"
import { Chooser } from "~/ui/chooser"
import { Field, Select } from "~/ui/field"
import { ErrorNotice, Loading, Notice, Pending } from "~/ui/notice"
import { Sheet } from "~/ui/sheet"
import { StateBadge } from "~/ui/state"
import { Tabs } from "~/ui/tabs"
import { Time } from "~/ui/time"
import { AppTiles } from "./app"
import { Compare, type Layout } from "./compare"
import { Flows } from "./flows"
import { instancesOf, isAboutInstances } from "./list"
import { type Integration, integrationQuery, rolloutsQuery } from "./queries"
import { RolloutDetail, titleOf } from "./rollout"
import { Source } from "./source"
import { UpgradeDialog } from "./upgrade"
import { Versions } from "./versions"

export type Place = {
  view?: string | undefined
  version?: number | undefined
  from?: number | undefined
  to?: number | undefined
  layout?: Layout | undefined
  rollout?: string | undefined
  upgrade?: number | undefined
}

const RENEW_MS = 2_000

/** One integration: its flows, versions, sources and rollouts. */
export function IntegrationPage({
  name,
  place,
  onPlace,
}: {
  name: string
  place: Place
  onPlace: (place: Place) => void
}) {
  const query = useQuery(integrationQuery(name))
  useRenewal(["integrations", name], RENEW_MS, (n) => n.kind === "changes" || isAboutInstances(n))
  useRenewal(["rollouts", name], RENEW_MS, isAboutInstances)
  if (query.data === undefined) return <Pending of={query} />
  return <Loaded integration={query.data} place={place} onPlace={onPlace} />
}

function Loaded({
  integration,
  place,
  onPlace,
}: {
  integration: Integration
  place: Place
  onPlace: (place: Place) => void
}) {
  const { can } = useSession()
  const rollouts = useQuery(rolloutsQuery(integration.name))
  const { versions } = integration
  const newest = versions[0]?.number ?? 1
  const shown = versions.find((each) => each.number === place.version)?.number ?? newest
  const version = versions.find((each) => each.number === shown)?.hash ?? ""
  const older = versions[1]?.number ?? newest
  const go = (part: Place) => onPlace({ ...place, ...part })
  const close = useCallback(() => onPlace({ ...place, rollout: undefined }), [onPlace, place])
  const open = (rollout: string) => go({ rollout, upgrade: undefined })
  const live = rollouts.data?.find((each) => each.state === "running" || each.state === "paused")
  const pick = versions.length > 1 && (
    <div className="pb-3">
      <Field label={t`Version`}>
        {(control) => (
          <Select
            {...control}
            className="max-w-72"
            value={shown}
            onChange={(e) => go({ version: Number(e.target.value) })}
          >
            {versions.map((each) => (
              <option key={each.hash} value={each.number}>
                {each.number} {each.note === "" ? "" : `· ${each.note.slice(0, 60)}`}
              </option>
            ))}
          </Select>
        )}
      </Field>
    </div>
  )
  return (
    <div className="flex h-full min-h-0">
      <section
        aria-label={integration.title}
        className="flex min-w-0 flex-1 flex-col overflow-y-auto"
      >
        <header className="flex flex-wrap items-start gap-3 px-4 pt-3 pb-3">
          <div className="flex min-w-60 flex-1 flex-col gap-1">
            <Link
              to="/integrations"
              search={{}}
              className="inline-flex items-center text-xs text-muted-foreground hover:text-foreground"
            >
              <ChevronLeft aria-hidden className="size-3.5" />
              {t`Integrations`}
            </Link>
            <h1 className="flex flex-wrap items-center gap-2 text-lg font-semibold">
              {integration.title} <AppTiles components={integration.components} />
            </h1>
            <Facts integration={integration} />
          </div>
          {can("publish") && <EditButtons integration={integration.name} version={shown} />}
          {can("configure") && <ActivateButton integration={integration.name} version={version} />}
          {can("configure") && (
            <Button
              look="primary"
              icon={<ArrowUpFromLine aria-hidden />}
              onClick={() => go({ upgrade: newest })}
            >
              {t`Upgrade instances…`}
            </Button>
          )}
        </header>
        <DraftsOf integration={integration.name} />
        {live !== undefined && live.id !== place.rollout && (
          <p className="mx-4 mb-3 flex flex-wrap items-center gap-2 rounded-md border px-3 py-1.5">
            <StateBadge state={live.state} />
            {titleOf(live, integration)}
            <span className="figures text-muted-foreground">
              <Trans>
                {(live.done + live.refused).toLocaleString()} of {live.total.toLocaleString()}
              </Trans>
            </span>
            <Button look="ghost" className="ml-auto" onClick={() => open(live.id)}>
              {t`Show`}
            </Button>
          </p>
        )}
        <Tabs
          label={t`Parts of the integration`}
          selected={place.view}
          onSelect={(view) => go({ view })}
          tabs={[
            {
              key: "flows",
              label: t`Flows`,
              content: () => (
                <>
                  {pick}
                  <Flows integration={integration.name} version={version} />
                </>
              ),
            },
            {
              key: "versions",
              label: t`Versions`,
              count: versions.length,
              content: () => (
                <Versions
                  integration={integration}
                  onCompare={(from, to) => go({ view: "changes", from, to })}
                  onUpgrade={(upgrade) => go({ upgrade })}
                />
              ),
            },
            ...(versions.length < 2
              ? []
              : [
                  {
                    key: "changes",
                    label: t`Changes`,
                    content: () => (
                      <Compare
                        integration={integration.name}
                        versions={versions}
                        from={place.from ?? older}
                        to={place.to ?? newest}
                        layout={place.layout ?? "unified"}
                        onPick={(from, to) => go({ from, to })}
                        onLayout={(layout) => go({ layout })}
                      />
                    ),
                  },
                ]),
            {
              key: "source",
              label: t`Source`,
              content: () => (
                <>
                  {pick}
                  <Source integration={integration.name} version={version} />
                </>
              ),
            },
            {
              key: "rollouts",
              label: t`Rollouts`,
              content: () => (
                <Rollouts
                  integration={integration}
                  rollouts={rollouts.data}
                  error={rollouts.error}
                  onOpen={open}
                />
              ),
            },
          ]}
        />
      </section>
      {place.rollout !== undefined && (
        <Sheet label={t`Rollout`} onClose={close}>
          <RolloutDetail
            key={place.rollout}
            id={place.rollout}
            integration={integration}
            onOpen={open}
          />
        </Sheet>
      )}
      {place.upgrade !== undefined && can("configure") && (
        <UpgradeDialog
          integration={integration}
          version={place.upgrade}
          onClose={() => go({ upgrade: undefined })}
          onBegun={open}
        />
      )}
    </div>
  )
}

/** Choose a customer, and activate a version for it. */
function ActivateButton({ integration, version }: { integration: string; version: string }) {
  const navigate = useNavigate()
  const [text, setText] = useState<string | null>(null)
  const filter = text?.trim() ? { q: text.trim() } : {}
  const customers = useQuery({
    queryKey: ["customers", "choose", filter],
    enabled: text !== null,
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => loadCustomers(filter, undefined, signal, 20),
  })
  const found = (customers.data?.items ?? []).map((each) => ({ key: each.id, ...each }))
  return (
    <>
      <Button icon={<Zap aria-hidden />} onClick={() => setText("")}>
        {t`Activate…`}
      </Button>
      {text !== null && (
        <Chooser
          title={t`Activate for a customer`}
          label={t`For which customer?`}
          placeholder={t`A name, or an id`}
          text={text}
          onText={setText}
          items={found}
          onChoose={(each) =>
            void navigate({
              to: "/customers/$customer/activate",
              params: { customer: each.id },
              search: { integration, version, page: "0" },
            })
          }
          onClose={() => setText(null)}
          className="top-[12vh] max-h-92 w-[min(560px,calc(100vw-24px))]"
          rowClass="h-8"
          row={(each) => <span className="min-w-0 truncate">{each.name}</span>}
        >
          {customers.data !== undefined && found.length === 0 && (
            <p className="px-3 py-2 text-muted-foreground">
              {text === "" ? t`There is no customer yet.` : t`No customer matches.`}
            </p>
          )}
        </Chooser>
      )}
    </>
  )
}

function Facts({ integration }: { integration: Integration }) {
  const [newest] = integration.versions
  return (
    <p className="flex flex-wrap gap-x-3 text-muted-foreground">
      <code>{integration.name}</code>
      {newest !== undefined && (
        <span>
          <Trans>
            version {newest.number}, <Time at={newest.published_at} distance />
          </Trans>
          {newest.published_by !== "" && ` · ${newest.published_by}`}
        </span>
      )}
      <span>
        <Plural value={instancesOf(integration)} one="# instance" other="# instances" />
      </span>
      {integration.failed_24h > 0 && (
        <Link
          to="/failures"
          search={{ integration: integration.name, since: "24h" }}
          className="text-failed-text hover:underline"
        >
          <Plural value={integration.failed_24h} one="# failed in 24 h" other="# failed in 24 h" />
        </Link>
      )}
    </p>
  )
}

function Rollouts({
  integration,
  rollouts,
  error,
  onOpen,
}: {
  integration: Integration
  rollouts: Bulk[] | undefined
  error: unknown
  onOpen: (bulk: string) => void
}) {
  const [most, setMost] = useState(20)
  if (rollouts === undefined) return error === null ? <Loading /> : <ErrorNotice error={error} />
  if (rollouts.length === 0) {
    return (
      <Notice icon={<Layers />} title={t`No upgrade of many instances was made yet`}>
        {t`What is upgraded together is listed here: how far it is, its figures, and the way back.`}
      </Notice>
    )
  }
  return (
    <div className="flex flex-col gap-2">
      <ul className="rounded-md border">
        {rollouts.slice(0, most).map((each) => (
          <li key={each.id} className="border-b border-border/60 last:border-0">
            <button
              type="button"
              onClick={() => onOpen(each.id)}
              className="flex w-full flex-wrap items-center gap-3 px-3 py-1.5 text-left hover:bg-muted focus-visible:-outline-offset-2"
            >
              <StateBadge state={each.state} />
              <span className="font-medium">{titleOf(each, integration)}</span>
              <span className="figures text-muted-foreground">
                <Trans>
                  {each.done.toLocaleString()} of {each.total.toLocaleString()} moved
                </Trans>
              </span>
              {each.refused > 0 && (
                <span className="text-waiting">
                  <Plural value={each.refused} one="# could not be" other="# could not be" />
                </span>
              )}
              <span className="ml-auto text-muted-foreground">
                <Time at={each.made_at} />
              </span>
            </button>
          </li>
        ))}
      </ul>
      {rollouts.length > most && (
        <Button className="self-start" onClick={() => setMost(most + 20)}>{t`Show more`}</Button>
      )}
    </div>
  )
}
