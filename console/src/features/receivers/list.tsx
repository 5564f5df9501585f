import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { Ellipsis, KeyRound, Pencil, Plus, Power, PowerOff, Trash2 } from "lucide-react"
import { type ReactNode, useState } from "react"
import { answerOf, api } from "~/api/client"
import { type Receiver, receiversQuery } from "~/api/receivers"
import { ShownOnce } from "~/features/customers/tokens"
import { useOpened } from "~/features/session/draft"
import { useSession } from "~/features/session/context"
import { Button } from "~/ui/button"
import { Confirm } from "~/ui/confirm"
import { Field, Select } from "~/ui/field"
import { Menu, type MenuItem } from "~/ui/menu"
import { Pending } from "~/ui/notice"
import { Time } from "~/ui/time"
import { toast } from "~/ui/toast"
import { Deliveries } from "./deliveries"
import { ReceiverForm, SendTest } from "./form"
import { Recover } from "./recover"

const RENEW_MS = 5_000
const A_DAY = 86_400

type Asked = "add" | "edit" | "test" | "recover" | "deliveries" | "remove" | "secret"

/** The customer's own endpoints, which are sent the product's events as signed webhooks. */
export function Receivers({
  customer,
  children,
}: {
  customer: { id: string; name: string }
  children: ReactNode
}) {
  const { can, me } = useSession()
  const client = useQueryClient()
  // What is open, with the receiver that it is of: a form is open again once a new link is.
  const [asked, setAsked] = useOpened<{ what: Asked; id: string }>(`receivers:${customer.id}`)
  const [secret, setSecret] = useState<string | null>(null)
  // Deliveries fail, and disable a receiver, without anything that is done here.
  // But nothing is asked while a secret is shown: where the customer's link has ended, it would be gone.
  const refetchInterval = secret === null && RENEW_MS
  const query = useQuery({ ...receiversQuery(customer.id), refetchInterval })
  const close = () => setAsked(null)
  const receiver = query.data?.find((each) => each.id === asked?.id)
  const renew = () => client.invalidateQueries({ queryKey: receiversQuery(customer.id).queryKey })
  const turn = useMutation({
    mutationFn: ({ id, enabled }: Receiver) => {
      const params = { path: { receiver: id } }
      return enabled
        ? answerOf(api.POST("/api/receivers/{receiver}/disable", { params }))
        : answerOf(api.POST("/api/receivers/{receiver}/enable", { params }))
    },
    onError: (error) => toast(t`It was not done`, error.message),
    onSettled: renew,
  })
  const more = (receiver: Receiver): MenuItem[] => {
    const ask = (what: Asked) => () => setAsked({ what, id: receiver.id })
    const items = [
      { label: t`Edit…`, icon: <Pencil />, onSelect: ask("edit") },
      receiver.enabled
        ? { label: t`Disable`, icon: <PowerOff />, onSelect: () => turn.mutate(receiver) }
        : { label: t`Enable`, icon: <Power />, onSelect: () => turn.mutate(receiver) },
      { label: t`Remove…`, icon: <Trash2 />, onSelect: ask("remove") },
    ]
    if (can("secrets") || me.kind === "customer") {
      items.splice(1, 0, { label: t`New secret…`, icon: <KeyRound />, onSelect: ask("secret") })
    }
    return items
  }
  return (
    <div className="flex flex-col gap-3">
      <div className="flex flex-wrap items-center justify-between gap-4">
        <p className="text-muted-foreground">{children}</p>
        {can("configure") && (
          <Button icon={<Plus aria-hidden />} onClick={() => setAsked({ what: "add", id: "" })}>
            {t`New receiver`}
          </Button>
        )}
      </div>
      {query.data === undefined ? (
        <Pending of={query} lines={2} />
      ) : query.data.length === 0 ? (
        <p className="text-muted-foreground">{t`There are none.`}</p>
      ) : (
        <ul className="flex flex-col divide-y rounded-md border">
          {query.data.map((each) => (
            <li key={each.id} className="flex flex-wrap items-center gap-2 px-3 py-2">
              <div className="min-w-0 flex-1 basis-64">
                <p className="truncate" title={each.url}>
                  <code>{each.url}</code>
                </p>
                {!each.url.includes(each.name) && (
                  <p className="font-medium break-words">{each.name}</p>
                )}
                <p className="break-words text-muted-foreground">
                  {each.types.join(", ")}
                  {each.header_names.length > 0 && ` · ${each.header_names.join(", ")}`}
                </p>
                <Health receiver={each} />
              </div>
              <Button
                onClick={() => setAsked({ what: "deliveries", id: each.id })}
              >{t`Deliveries`}</Button>
              {can("operate") && (
                <>
                  <Button
                    disabled={!each.enabled}
                    onClick={() => setAsked({ what: "test", id: each.id })}
                  >
                    {t`Send a test`}
                  </Button>
                  <Button
                    onClick={() => setAsked({ what: "recover", id: each.id })}
                  >{t`Recover…`}</Button>
                </>
              )}
              {can("configure") && !each.enabled && (
                <Button disabled={turn.isPending} onClick={() => turn.mutate(each)}>
                  {t`Enable`}
                </Button>
              )}
              {can("configure") && (
                <Menu name={t`More for ${each.name}`} items={more(each)}>
                  <Ellipsis aria-hidden />
                </Menu>
              )}
            </li>
          ))}
        </ul>
      )}
      {asked?.what === "add" && can("configure") && (
        <ReceiverForm
          customer={customer}
          receiver={null}
          onClose={close}
          onMade={(made) => setSecret(made.secret)}
        />
      )}
      {asked !== null && asked.what !== "add" && receiver !== undefined && (
        <Dialogs
          key={asked.id + asked.what}
          what={asked.what}
          receiver={receiver}
          customer={customer}
          onClose={close}
          onDeliveries={() => setAsked({ what: "deliveries", id: receiver.id })}
          onSecret={setSecret}
          renew={renew}
        />
      )}
      {secret !== null && (
        <ShownOnce title={t`The secret`} secret={secret} onClose={() => setSecret(null)}>
          {t`It verifies the messages, and is shown this once.`}
        </ShownOnce>
      )}
    </div>
  )
}

function Dialogs({
  what,
  receiver,
  customer,
  onClose,
  onDeliveries,
  onSecret,
  renew,
}: {
  what: Exclude<Asked, "add">
  receiver: Receiver
  customer: { id: string; name: string }
  onClose: () => void
  onDeliveries: () => void
  onSecret: (secret: string) => void
  renew: () => Promise<void>
}) {
  const params = { path: { receiver: receiver.id } }
  switch (what) {
    case "edit":
      return (
        <ReceiverForm customer={customer} receiver={receiver} onClose={onClose} onMade={onClose} />
      )
    case "test":
      return <SendTest receiver={receiver} onClose={onClose} onDone={onDeliveries} />
    case "recover":
      return <Recover receiver={receiver} onClose={onClose} />
    case "deliveries":
      return <Deliveries receiver={receiver} onClose={onClose} />
    case "secret":
      return <NewSecret receiver={receiver} onClose={onClose} onSecret={onSecret} renew={renew} />
    case "remove":
      return (
        <Confirm
          danger
          title={t`Remove ${receiver.name}`}
          verb={t`Remove it`}
          onConfirm={async () => {
            await api.DELETE("/api/receivers/{receiver}", { params })
            await renew()
          }}
          onClose={onClose}
        >
          <p>{t`What waits to be delivered is cancelled. What was delivered can still be looked at.`}</p>
        </Confirm>
      )
  }
}

/** Make a new secret; while one before is good, another one ends both at once. */
function NewSecret({
  receiver,
  onClose,
  onSecret,
  renew,
}: {
  receiver: Receiver
  onClose: () => void
  onSecret: (secret: string) => void
  renew: () => Promise<void>
}) {
  const until = formerUntil(receiver)
  const [overlaps, setOverlaps] = useState(until === null)
  return (
    <Confirm
      title={t`A new secret for ${receiver.name}`}
      verb={t`Make a new secret`}
      danger={!overlaps}
      onConfirm={async () => {
        const params = { path: { receiver: receiver.id } }
        const body = { overlap_seconds: overlaps ? A_DAY : 0 }
        const made = await answerOf(api.POST("/api/receivers/{receiver}/secret", { params, body }))
        await renew()
        onSecret(made.secret)
      }}
      onClose={onClose}
    >
      {until === null ? (
        <Field label={t`The secret before`}>
          {(control) => (
            <Select
              {...control}
              value={overlaps ? "day" : "none"}
              onChange={(event) => setOverlaps(event.target.value === "day")}
            >
              <option value="day">{t`signs, too, for a day, so that you can follow`}</option>
              <option value="none">{t`ends at once`}</option>
            </Select>
          )}
        </Field>
      ) : (
        <p>
          <Trans>
            The secret before signs, too, until <Time at={until} />. Wait for that, or make a new
            one now: then both of the others end at once, and messages are signed with the new one
            alone.
          </Trans>
        </p>
      )}
    </Confirm>
  )
}

/** Until when the secret before is good, where it is. */
function formerUntil({ former_until: until }: Receiver): string | null {
  return until !== null && new Date(until) > new Date() ? until : null
}

/** How a receiver is, where that is not well, and why. */
export function Health({ receiver }: { receiver: Receiver }) {
  if (!receiver.enabled) {
    return (
      <p className="text-failed-text break-words">
        {receiver.disabled_at === null ? (
          <Trans>disabled: {receiver.disabled_because}</Trans>
        ) : (
          <Trans>
            disabled: {receiver.disabled_because}, <Time at={receiver.disabled_at} />
          </Trans>
        )}
      </p>
    )
  }
  const until = formerUntil(receiver)
  return (
    <>
      {receiver.failing_since !== null && (
        <p className="text-failed-text">
          <Trans>
            takes nothing since <Time at={receiver.failing_since} />; after five days it is disabled
          </Trans>
        </p>
      )}
      {until !== null && (
        <p className="text-muted-foreground">
          <Trans>
            the secret before signs, too, until <Time at={until} />
          </Trans>
        </p>
      )}
    </>
  )
}
