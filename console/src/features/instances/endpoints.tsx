import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useMutation } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { CircleCheck, CircleHelp, CircleX, KeyRound, RefreshCw, ScanSearch } from "lucide-react"
import { useState } from "react"
import { answerOf, api, type Schemas } from "~/api/client"
import type { Instance } from "~/api/instances"
import { useSession } from "~/features/session/context"
import { Button } from "~/ui/button"
import { Confirm, STAY } from "~/ui/confirm"
import { CopyButton } from "~/ui/copy"
import { Section } from "~/ui/facts"
import { Choice } from "~/ui/field"
import { FormError } from "~/ui/notice"
import { Time } from "~/ui/time"
import { CurlLine } from "./curl"
import { useRotate } from "./detail"
import { Listeners } from "./listeners"

const DAY_SECONDS = 86_400

/** The URLs that senders know, their secrets, and the webhooks that were made at apps. */
export function Endpoints({ instance }: { instance: Instance }) {
  const { can } = useSession()
  const [rotating, setRotating] = useState<string | null>(null)
  const path = { instance: instance.id }
  const secrets = useMutation({
    mutationFn: () => answerOf(api.GET("/api/instances/{instance}/secrets", { params: { path } })),
  })
  const check = useMutation({
    mutationFn: () =>
      answerOf(api.GET("/api/instances/{instance}/subscriptions", { params: { path } })),
  })
  const urls = Object.entries(instance.urls)
  return (
    <div className="flex flex-col gap-6">
      <Section
        title={t`URLs`}
        actions={
          can("secrets") &&
          urls.length > 0 && (
            <Button
              icon={<KeyRound aria-hidden />}
              busy={secrets.isPending}
              onClick={() => (secrets.data === undefined ? secrets.mutate() : secrets.reset())}
            >
              {secrets.data === undefined ? t`Show the secrets` : t`Hide the secrets`}
            </Button>
          )
        }
      >
        {urls.length === 0 && (
          <p className="text-muted-foreground">{t`None of its flows has a URL.`}</p>
        )}
        <ul className="flex flex-col divide-y rounded-md border empty:hidden">
          {urls.map(([flow, url]) => (
            <li key={flow} className="flex flex-col gap-1 px-3 py-2">
              <div className="flex items-center gap-2">
                <span className="font-medium">{flow}</span>
                {can("configure") && can("secrets") && (
                  <Button
                    look="ghost"
                    className="ml-auto"
                    icon={<RefreshCw aria-hidden />}
                    onClick={() => setRotating(flow)}
                  >
                    {t`New secret…`}
                  </Button>
                )}
              </div>
              {instance.addresses[flow] === undefined ? (
                <Copied text={url} label={t`URL of ${flow}`} />
              ) : (
                <Copied text={instance.addresses[flow]} label={t`Mail address of ${flow}`} />
              )}
              {secrets.data?.[flow] !== undefined && (
                <Copied text={secrets.data[flow]} label={t`Secret of ${flow}`} />
              )}
              {instance.addresses[flow] === undefined && (
                <CurlLine instance={instance.id} flow={flow} />
              )}
            </li>
          ))}
        </ul>
        {secrets.data !== undefined && (
          <p className="text-xs text-muted-foreground">{t`That you looked at them is in the audit log.`}</p>
        )}
        <FormError error={secrets.error} />
      </Section>
      <Listeners instance={instance.id} />
      <Section
        title={t`Webhooks at the apps`}
        actions={
          can("operate") &&
          instance.subscriptions.length > 0 && (
            <Button
              icon={<ScanSearch aria-hidden />}
              busy={check.isPending}
              onClick={() => check.mutate()}
            >
              {t`Are they still there?`}
            </Button>
          )
        }
      >
        {instance.subscriptions.length === 0 ? (
          <p className="text-muted-foreground">
            <Trans>
              Its triggers made none. What a deploy flow made at an app is not listed here.
            </Trans>
          </p>
        ) : (
          <ul className="flex flex-col divide-y rounded-md border">
            {instance.subscriptions.map((each) => (
              <Webhook
                key={each.flow}
                subscription={each}
                checked={check.data?.find((one) => one.flow === each.flow)}
              />
            ))}
          </ul>
        )}
        <FormError error={check.error} />
      </Section>
      {rotating !== null && (
        <Rotate instance={instance} flow={rotating} onClose={() => setRotating(null)} />
      )}
    </div>
  )
}

/** A text with a button that copies it. */
export function Copied({ text, label }: { text: string; label: string }) {
  return (
    <div className="flex items-center gap-1">
      <code className="min-w-0 truncate" title={text} aria-label={label}>
        {text}
      </code>
      <CopyButton text={text} name={t`Copy ${label}`} />
    </div>
  )
}

function Webhook({
  subscription,
  checked,
}: {
  subscription: Schemas["SubscriptionView"]
  checked: Schemas["SubscriptionCheck"] | undefined
}) {
  return (
    <li className="flex flex-col gap-0.5 px-3 py-2">
      <div className="flex flex-wrap items-center gap-2">
        <span className="font-medium">{subscription.flow}</span>
        <code className="truncate text-muted-foreground">{subscription.remote_id}</code>
        <span className="ml-auto text-muted-foreground">
          <Trans>
            made <Time at={subscription.made_at} />
          </Trans>
        </span>
      </div>
      {subscription.note !== "" && <p className="text-muted-foreground">{subscription.note}</p>}
      {subscription.left_because !== "" && (
        <p className="text-failed-text">{subscription.left_because}</p>
      )}
      {subscription.expires_at != null && subscription.renew_at != null && (
        <p className="text-muted-foreground">
          <Trans>
            The app ends it <Time at={subscription.expires_at} />; it is renewed{" "}
            <Time at={subscription.renew_at} />.
          </Trans>
        </p>
      )}
      {subscription.renewal_error !== "" && subscription.renewal != null && (
        <p className="text-failed-text">
          <Trans>
            Its{" "}
            <Link
              to="/executions/$execution"
              params={{ execution: subscription.renewal }}
              className="link"
            >
              last renewal
            </Link>{" "}
            failed: {subscription.renewal_error}
          </Trans>
        </p>
      )}
      {checked !== undefined && (
        <p role="status" className="flex items-center gap-1.5">
          {checked.exists === true ? (
            <>
              <CircleCheck aria-hidden className="size-4 text-succeeded" />
              {t`The app has it.`}
            </>
          ) : checked.exists === false ? (
            <>
              <CircleX aria-hidden className="size-4 text-failed-text" />
              {t`The app no longer has it: deploy the instance again.`}
            </>
          ) : (
            <>
              <CircleHelp aria-hidden className="size-4 text-muted-foreground" />
              {t`Not known: ${checked.because}`}
            </>
          )}
        </p>
      )}
    </li>
  )
}

function Rotate({
  instance,
  flow,
  onClose,
}: {
  instance: Instance
  flow: string
  onClose: () => void
}) {
  const rotate = useRotate(instance.id)
  const [keep, setKeep] = useState(true)
  const made = rotate.data
  return (
    <Confirm
      title={t`New secret for ${flow}`}
      verb={made === undefined ? t`Make a new secret` : t`I have copied it`}
      onClose={onClose}
      onConfirm={async () => {
        if (made !== undefined) return
        await rotate.mutateAsync({ flow, grace: keep ? DAY_SECONDS : 0 })
        return STAY
      }}
    >
      {made === undefined ? (
        <>
          <p>{t`Senders sign with it. Set it at the app, unless its trigger does so by itself.`}</p>
          <Choice
            label={t`Take the former secret for another day`}
            checked={keep}
            onChange={(event) => setKeep(event.target.checked)}
          />
        </>
      ) : (
        <Copied text={made.secret} label={t`New secret of ${flow}`} />
      )}
    </Confirm>
  )
}
