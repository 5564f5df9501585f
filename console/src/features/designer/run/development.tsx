import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { ArrowUp, Settings2, Zap } from "lucide-react"
import { useState } from "react"
import { answerOf, api, type Schemas } from "~/api/client"
import { instanceQuery } from "~/api/instances"
import { isStatus } from "~/api/problem"
import { CurlLine } from "~/features/instances/curl"
import { Copied } from "~/features/instances/endpoints"
import { InstanceBadge } from "~/features/instances/state"
import { UpgradeInstance } from "~/features/instances/upgrade"
import { useSession } from "~/features/session/context"
import { readStored, store, useDraftName } from "~/features/session/draft"
import { moved, useRenewal } from "~/features/session/renewal"
import { Badge } from "~/ui/badge"
import { Button, buttonClass } from "~/ui/button"
import { Dialog } from "~/ui/dialog"
import { Choice } from "~/ui/field"
import { FormError, Pending } from "~/ui/notice"
import { toast } from "~/ui/toast"
import type { DraftHandle } from "../draft/handle"

export type Development = Schemas["DevelopmentView"]

const RENEW_MS = 1_000

/** The development instance of a draft's integration, as it is beside the draft as it is. */
export function useDevelopment(draft: Pick<DraftHandle, "id" | "revision">) {
  const key = ["draft", draft.id, "development"]
  useRenewal(key, RENEW_MS, (news) => moved(news, "instances"))
  return useQuery({
    queryKey: [...key, draft.revision],
    queryFn: ({ signal }) =>
      answerOf(
        api.GET("/api/drafts/{draft}/development", {
          params: { path: { draft: draft.id } },
          signal,
        }),
      ),
  })
}

/** True for who may run drafts with real effects. */
export function useMayActReally(): boolean {
  const { can } = useSession()
  return can("publish") && can("configure") && can("payloads")
}

/** Whether it was confirmed in this tab that runs call apps: of a step alone, or of a whole flow. */
export function useRealConfirmed(what: "step" | "flow"): [boolean, () => void] {
  const name = useDraftName(`real-effects:${what}`)
  const [confirmed, setConfirmed] = useState(() => readStored(name) === true)
  const confirm = () => {
    store(name, true)
    setConfirmed(true)
  }
  return [confirmed, confirm]
}

/** Asks once in a tab whether runs of whole flows are to call apps. */
export function RealConfirmation({
  checked,
  onChange,
}: {
  checked: boolean
  onChange: (checked: boolean) => void
}) {
  return (
    <Choice
      label={t`Call the apps`}
      hint={t`All of the flow’s actions without a pin, in its loops too. What they do there stays done, and is in the audit log. This is asked once in this tab.`}
      checked={checked}
      onChange={(event) => onChange(event.target.checked)}
    />
  )
}

/** Marks a run whose actions were called. */
export function RealBadge() {
  return (
    <Badge tone="warn" icon={Zap} title={t`Actions without a pin were called at their apps.`}>
      {t`real effects`}
    </Badge>
  )
}

/** What keeps a draft from running for real; null where nothing does. */
export function obstacleOf(development: Development | undefined): string | null {
  if (development === undefined) return t`Looking for the development instance…`
  if (development.instance === null) return t`There is no development instance yet.`
  const [first] = Object.entries(development.lacks)
  return first === undefined ? null : `${first[0]}: ${first[1]}`
}

/** The development instance: set up, brought to this draft, and where its events are sent. */
export function DevelopmentDialog({ draft, onClose }: { draft: DraftHandle; onClose: () => void }) {
  const { can } = useSession()
  const client = useQueryClient()
  const query = useDevelopment(draft)
  const [expect, setExpect] = useState<Schemas["BaseView"] | null>(null)
  const [upgrading, setUpgrading] = useState(false)
  const errors = draft.findings.filter((each) => each.severity === "error").length
  const update = useMutation({
    mutationFn: () =>
      answerOf(
        api.POST("/api/drafts/{draft}/development", {
          params: { path: { draft: draft.id }, header: { "if-match": `"${draft.revision}"` } },
          body: { expect: expect?.hash ?? null, note: "" },
        }),
      ),
    onSuccess: ({ version, lacks }) => {
      setExpect(null)
      if (version?.number != null) {
        draft.published({ number: version.number, hash: version.hash })
        if (Object.keys(lacks).length === 0) toast(t`It gets version ${version.number}`)
      }
    },
    onError: async (error) => {
      if (!isStatus(error, 412)) return
      const found = await answerOf(
        api.GET("/api/drafts/{draft}/diff", {
          params: { path: { draft: draft.id }, query: { against: "newest" } },
        }),
      )
      setExpect(found.against)
    },
    onSettled: () => {
      void client.invalidateQueries({ queryKey: ["draft", draft.id, "development"] })
      void client.invalidateQueries({ queryKey: ["integrations"] })
    },
  })
  const found = query.data
  // What only an update finds out is known from its answer, until something is changed.
  const lacks = { ...found?.lacks, ...(found?.instance == null ? update.data?.lacks : {}) }
  const waits = found?.instance === null && found.version !== null
  const may = can("publish") && can("configure") && !draft.readOnly
  const settled = found?.instance?.state === "active" && found.is_current
  const instance = useQuery({
    ...instanceQuery(found?.instance?.id ?? ""),
    enabled: upgrading && found?.instance != null,
  })
  if (upgrading && instance.data !== undefined) {
    return <UpgradeInstance instance={instance.data.value} onClose={() => setUpgrading(false)} />
  }
  return (
    <Dialog
      title={t`Development instance`}
      wide
      onClose={onClose}
      onSubmit={() => update.mutate()}
      footer={
        <>
          <Button onClick={onClose}>{t`Close`}</Button>
          {may && (
            <Button
              type="submit"
              look={waits ? "outline" : "primary"}
              icon={<ArrowUp aria-hidden />}
              busy={update.isPending}
              disabled={errors > 0 || draft.pending > 0 || found === undefined || settled}
            >
              {expect !== null
                ? t`Update on top of version ${expect.number}`
                : found?.version === null
                  ? t`Begin with this draft`
                  : t`Update to this draft`}
            </Button>
          )}
        </>
      }
    >
      <p className="text-muted-foreground">
        {t`An instance for tests, with a config, connections and endpoints of its own. An update publishes the draft as a version, which instances of customers get only as you upgrade them.`}
      </p>
      {found === undefined ? (
        <Pending of={query} lines={3} />
      ) : (
        <>
          <State draft={draft} found={found} />
          <Lacks lacks={lacks} />
          {may && <Remedy draft={draft} found={found} onUpgrade={() => setUpgrading(true)} />}
          <Endpoints urls={found.urls} instance={found.instance?.id ?? null} />
        </>
      )}
      {errors > 0 && may && (
        <p className="text-failed-text">
          {t`The draft has errors: mend its findings first, then update.`}
        </p>
      )}
      {expect !== null ? (
        <p role="alert" className="text-waiting">
          <Trans>
            Version {expect.number} was published meanwhile, and this draft does not begin from it.
          </Trans>
        </p>
      ) : (
        <FormError error={update.error} />
      )}
    </Dialog>
  )
}

function State({ draft, found }: { draft: DraftHandle; found: Development }) {
  const { instance } = found
  if (instance === null) {
    return (
      <p role="status">
        {found.version === null
          ? t`There is none yet. It is made as this draft is published for it.`
          : t`Version ${found.version.number ?? 0} was published for it. It has to be set up once.`}
      </p>
    )
  }
  return (
    <div role="status" className="flex flex-col gap-1">
      <p className="flex flex-wrap items-center gap-2">
        <Link to="/instances/$instance" params={{ instance: instance.id }} className="link">
          {draft.integration === instance.name ? draft.integration : instance.name}
        </Link>
        <InstanceBadge state={instance.state} paused={instance.paused.length > 0} />
        <span>
          <Trans>on version {instance.version.number}</Trans>
        </span>
        <span className={found.is_current ? "text-succeeded" : "text-waiting"}>
          {found.is_current ? t`It is this draft.` : t`The draft is another by now.`}
        </span>
      </p>
      {instance.error !== null && (
        <p role="alert" className="break-words text-failed-text">
          {instance.error}
        </p>
      )}
    </div>
  )
}

function Lacks({ lacks }: { lacks: Record<string, string> }) {
  const fields = Object.entries(lacks)
  if (fields.length === 0) return null
  return (
    <section
      aria-label={t`What it lacks`}
      className="flex flex-col gap-2 rounded-md border border-waiting/40 px-3 py-2"
    >
      <p className="font-medium">{t`Its config is not complete for this draft`}</p>
      <ul className="flex flex-col gap-1">
        {fields.map(([field, because]) => (
          <li key={field} className="break-words">
            <code>{field}</code> <span className="text-muted-foreground">{because}</span>
          </li>
        ))}
      </ul>
    </section>
  )
}

/** The way to complete its config: for the version that was published for it. */
function Remedy({
  draft,
  found,
  onUpgrade,
}: {
  draft: DraftHandle
  found: Development
  onUpgrade: () => void
}) {
  const { instance, version, lacks } = found
  if (instance === null) {
    if (version === null) return null
    return (
      <div>
        <Link
          to="/customers/$customer/activate"
          params={{ customer: found.customer }}
          search={{ integration: draft.integration, version: version.hash, page: "0" }}
          className={buttonClass("primary")}
        >
          <Settings2 aria-hidden />
          {t`Set it up…`}
        </Link>
      </div>
    )
  }
  if (Object.keys(lacks).length === 0) return null
  if (version !== null && version.hash !== instance.version.hash) {
    return (
      <div>
        <Button icon={<ArrowUp aria-hidden />} onClick={onUpgrade}>
          {t`Upgrade it, with what it lacks…`}
        </Button>
      </div>
    )
  }
  return (
    <div>
      <Link
        to="/instances/$instance"
        params={{ instance: instance.id }}
        search={{ view: "config" }}
        className={buttonClass("outline")}
      >
        <Settings2 aria-hidden />
        {t`Open its config`}
      </Link>
    </div>
  )
}

function Endpoints({ urls, instance }: { urls: Record<string, string>; instance: string | null }) {
  const flows = Object.entries(urls)
  if (flows.length === 0) return null
  return (
    <section aria-label={t`Endpoints`} className="flex flex-col gap-1">
      <h3 className="text-xs font-medium">{t`Endpoints`}</h3>
      <ul className="flex flex-col divide-y rounded-md border">
        {flows.map(([flow, url]) => (
          <li key={flow} className="flex flex-col px-3 py-1.5">
            <span className="font-medium">{flow}</span>
            <Copied text={url} label={t`URL of ${flow}`} />
            {instance !== null && <CurlLine instance={instance} flow={flow} />}
          </li>
        ))}
      </ul>
    </section>
  )
}
