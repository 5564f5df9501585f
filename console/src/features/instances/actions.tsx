import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useMutation, useQueryClient } from "@tanstack/react-query"
import { ArrowUp, Ellipsis, Pause, Play, PowerOff, RotateCw } from "lucide-react"
import { useState } from "react"
import { answerOf, api, ifMatch } from "~/api/client"
import { type Instance, isMoving } from "~/api/instances"
import { isStatus } from "~/api/problem"
import { useSession } from "~/features/session/context"
import { Button } from "~/ui/button"
import { Confirm } from "~/ui/confirm"
import { Choice, Field, Input } from "~/ui/field"
import { Menu, type MenuItem } from "~/ui/menu"
import { toast } from "~/ui/toast"
import { UpgradeInstance } from "./upgrade"

type Asked = "activate" | "pause" | "disable" | "remove" | "upgrade" | null

/** What may be done with an instance: what it needs first, all else in a menu. */
export function InstanceActions({
  instance,
  etag,
  onGone,
  onConfig,
}: {
  instance: Instance
  etag: string | null
  onGone: () => void
  onConfig: () => void
}) {
  const { can } = useSession()
  const client = useQueryClient()
  const [asked, setAsked] = useState<Asked>(null)
  const path = { instance: instance.id }
  const renew = () => client.invalidateQueries({ queryKey: ["instances"] })
  const own = instance.paused.find((each) => each.what === "instance")
  const again = useMutation({
    mutationFn: () =>
      answerOf(api.POST("/api/instances/{instance}/redeploy", { params: { path } })),
    onError: (error) => {
      toast(t`It was not deployed`, error.message)
      if (isStatus(error, 422)) onConfig()
    },
    onSettled: renew,
  })
  const resume = useMutation({
    mutationFn: () =>
      answerOf(api.POST("/api/instances/{instance}/resume", { params: { path }, body: {} })),
    onSuccess: () => toast(t`It goes on`, t`What was held begins in its order.`),
    onError: (error) => toast(t`It was not resumed`, error.message),
    onSettled: renew,
  })
  const { state } = instance
  const isOff = state === "configured" || state === "disabled"
  const items: MenuItem[] = []
  if (can("operate") && state === "active" && own === undefined) {
    items.push({ label: t`Pause…`, icon: <Pause />, onSelect: () => setAsked("pause") })
  }
  if (can("configure") && !isMoving(state)) {
    items.push({ label: t`Upgrade…`, icon: <ArrowUp />, onSelect: () => setAsked("upgrade") })
  }
  if (can("configure") && (state === "active" || state === "failed")) {
    if (state === "active") {
      items.push({ label: t`Deploy again`, icon: <RotateCw />, onSelect: () => again.mutate() })
    }
    items.push({ label: t`Disable…`, icon: <PowerOff />, onSelect: () => setAsked("disable") })
  }
  if (can("configure") && isOff) {
    items.push({ label: t`Remove…`, onSelect: () => setAsked("remove") })
  }
  return (
    <div className="flex shrink-0 items-center gap-2">
      {can("configure") && isOff && (
        <Button look="primary" icon={<Play aria-hidden />} onClick={() => setAsked("activate")}>
          {t`Activate`}
        </Button>
      )}
      {can("configure") && state === "failed" && (
        <Button
          look="primary"
          icon={<RotateCw aria-hidden />}
          busy={again.isPending}
          onClick={() => again.mutate()}
        >
          {t`Try again`}
        </Button>
      )}
      {can("operate") && own !== undefined && !isMoving(state) && (
        <Button
          look="primary"
          icon={<Play aria-hidden />}
          busy={resume.isPending}
          onClick={() => resume.mutate()}
        >
          {t`Resume`}
        </Button>
      )}
      {items.length > 0 && (
        <Menu name={t`More actions`} items={items}>
          <Ellipsis aria-hidden />
        </Menu>
      )}
      {asked === "activate" && (
        <Activate instance={instance} onClose={() => setAsked(null)} onConfig={onConfig} />
      )}
      {asked === "upgrade" && (
        <UpgradeInstance instance={instance} onClose={() => setAsked(null)} />
      )}
      {asked === "pause" && <PauseInstance instance={instance} onClose={() => setAsked(null)} />}
      {asked === "disable" && <Disable instance={instance} onClose={() => setAsked(null)} />}
      {asked === "remove" && (
        <Confirm
          title={t`Remove ${instance.name}`}
          verb={t`Remove the instance`}
          danger
          onClose={() => setAsked(null)}
          onConfirm={async () => {
            await api.DELETE("/api/instances/{instance}", { params: { path }, ...ifMatch(etag) })
            onGone()
            toast(t`${instance.name} is removed`, t`Its executions stay.`)
            void renew()
          }}
        >
          <p>{t`Its config and its URLs are gone then; its executions stay as long as they are kept.`}</p>
        </Confirm>
      )}
    </div>
  )
}

type Props = { instance: Instance; onClose: () => void }

function Activate({ instance, onClose, onConfig }: Props & { onConfig: () => void }) {
  const client = useQueryClient()
  const [catchUp, setCatchUp] = useState(false)
  const wasActive = instance.state === "disabled"
  return (
    <Confirm
      title={t`Activate ${instance.name}`}
      verb={t`Activate`}
      onClose={onClose}
      onConfirm={async () => {
        const query = catchUp ? { catch_up: true } : {}
        const params = { path: { instance: instance.id }, query }
        try {
          await answerOf(api.POST("/api/instances/{instance}/activate", { params }))
        } catch (error) {
          if (isStatus(error, 422)) onConfig()
          throw error
        }
        void client.invalidateQueries({ queryKey: ["instances"] })
      }}
    >
      <p>
        <Trans>
          Its URLs open and hold what comes, its webhooks are made at the apps, its deploy flow
          runs. Then what was held begins in its order.
        </Trans>
      </p>
      {wasActive && (
        <Choice
          label={t`Catch up`}
          hint={t`Triggers that can are asked for what was missed while it was disabled.`}
          checked={catchUp}
          onChange={(event) => setCatchUp(event.target.checked)}
        />
      )}
    </Confirm>
  )
}

function PauseInstance({ instance, onClose }: Props) {
  const client = useQueryClient()
  const [reason, setReason] = useState("")
  return (
    <Confirm
      title={t`Pause ${instance.name}`}
      verb={t`Pause`}
      onClose={onClose}
      onConfirm={async () => {
        await api.POST("/api/instances/{instance}/pause", {
          params: { path: { instance: instance.id } },
          body: { by: "", reason },
        })
        void client.invalidateQueries({ queryKey: ["instances"] })
      }}
    >
      <p>{t`Events are accepted and held; nothing begins until it is resumed.`}</p>
      <Field label={t`Reason`}>
        {(control) => (
          <Input
            {...control}
            autoFocus
            maxLength={500}
            value={reason}
            onChange={(event) => setReason(event.target.value)}
          />
        )}
      </Field>
    </Confirm>
  )
}

function Disable({ instance, onClose }: Props) {
  const client = useQueryClient()
  const [abandon, setAbandon] = useState(false)
  return (
    <Confirm
      title={t`Disable ${instance.name}`}
      verb={t`Disable`}
      danger
      onClose={onClose}
      onConfirm={async () => {
        const params = { path: { instance: instance.id }, query: { abandon } }
        await api.POST("/api/instances/{instance}/disable", { params })
        void client.invalidateQueries({ queryKey: ["instances"] })
      }}
    >
      <p>
        <Trans>
          Its URLs close, what runs comes to its end, and what it made at the apps is taken down.
          Events that come meanwhile are refused.
        </Trans>
      </p>
      <Choice
        label={t`Leave behind what cannot be taken down`}
        hint={t`Where its app no longer lets it in. The reason is noted; it is tried again once the connection works.`}
        checked={abandon}
        onChange={(event) => setAbandon(event.target.checked)}
      />
    </Confirm>
  )
}
