import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { Plus } from "lucide-react"
import { useMemo, useState } from "react"
import { answerOf, api, type Schemas } from "~/api/client"
import { type CustomerDetail, receiversQuery } from "~/api/customers"
import { FormDialog } from "~/features/forms/dialog"
import type { Control } from "~/features/forms/schema"
import { useSession } from "~/features/session/context"
import { Button } from "~/ui/button"
import { Pending } from "~/ui/notice"
import { Time } from "~/ui/time"
import { toast } from "~/ui/toast"
import { ShownOnce } from "./tokens"

type Receiver = Schemas["ReceiverView"]
type Verb = "enable" | "disable" | "secret" | "test"

const controls = (): Control[] => [
  {
    name: "url",
    title: t`URL`,
    description: t`Where the customer takes webhooks, such as: https://acme.example/hooks`,
    required: true,
    kind: "text",
    longest: 2_000,
  },
  {
    name: "types",
    title: t`Events`,
    description: t`Event types by commas: order.created, order.* or * for all.`,
    required: true,
    kind: "text",
    longest: 2_000,
    initial: "*",
  },
]

/** The customer's own endpoints, which are sent the product's events as signed webhooks. */
export function Receivers({ customer }: { customer: CustomerDetail }) {
  const { can } = useSession()
  const client = useQueryClient()
  const query = useQuery(receiversQuery(customer.id))
  const [adding, setAdding] = useState(false)
  const [secret, setSecret] = useState<string | null>(null)
  const renew = () => client.invalidateQueries({ queryKey: receiversQuery(customer.id).queryKey })
  const act = useMutation({
    mutationFn: async ({ receiver, verb }: { receiver: string; verb: Verb }) => {
      const params = { path: { receiver } }
      switch (verb) {
        case "enable":
          await answerOf(api.POST("/api/receivers/{receiver}/enable", { params }))
          break
        case "disable":
          await answerOf(api.POST("/api/receivers/{receiver}/disable", { params }))
          break
        case "secret":
          setSecret(
            (await answerOf(api.POST("/api/receivers/{receiver}/secret", { params }))).secret,
          )
          break
        case "test":
          await answerOf(api.POST("/api/receivers/{receiver}/test", { params }))
          toast(t`A test event is sent`, t`Its deliveries say how it went.`)
      }
    },
    onError: (error) => toast(t`It was not done`, error.message),
    onSettled: renew,
  })
  return (
    <div className="flex flex-col gap-3">
      <div className="flex items-center justify-between gap-4">
        <p className="text-muted-foreground">
          <Trans>The customer's own endpoints, which are sent your product's events, signed.</Trans>
        </p>
        {can("configure") && (
          <Button icon={<Plus aria-hidden />} onClick={() => setAdding(true)}>
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
            <li key={each.id} className="flex flex-wrap items-center gap-x-3 gap-y-1 px-3 py-2">
              <div className="min-w-0 flex-1 basis-64">
                <p className="truncate" title={each.url}>
                  <code>{each.url}</code>
                </p>
                <p className="truncate text-muted-foreground">{each.types.join(", ")}</p>
                <Health receiver={each} />
              </div>
              <Link to="/executions" search={{ instance: each.id }} className="link">
                {t`Deliveries`}
              </Link>
              {can("operate") && (
                <Button
                  disabled={!each.enabled || act.isPending}
                  onClick={() => act.mutate({ receiver: each.id, verb: "test" })}
                >
                  {t`Send a test`}
                </Button>
              )}
              {can("configure") && (
                <>
                  <Button
                    disabled={act.isPending}
                    onClick={() => act.mutate({ receiver: each.id, verb: "secret" })}
                  >
                    {t`New secret`}
                  </Button>
                  <Button
                    disabled={act.isPending}
                    onClick={() =>
                      act.mutate({ receiver: each.id, verb: each.enabled ? "disable" : "enable" })
                    }
                  >
                    {each.enabled ? t`Disable` : t`Enable`}
                  </Button>
                </>
              )}
            </li>
          ))}
        </ul>
      )}
      {adding && (
        <NewReceiver
          customer={customer}
          onClose={() => setAdding(false)}
          onMade={(made) => setSecret(made.secret)}
        />
      )}
      {secret !== null && (
        <ShownOnce title={t`The secret`} secret={secret} onClose={() => setSecret(null)}>
          {t`It verifies the messages, and is shown this once. In place of another one, both sign for a day.`}
        </ShownOnce>
      )}
    </div>
  )
}

function Health({ receiver }: { receiver: Receiver }) {
  if (!receiver.enabled) {
    return (
      <p className="text-failed-text break-words">{t`disabled: ${receiver.disabled_because}`}</p>
    )
  }
  if (receiver.failing_since === null) return null
  return (
    <p className="text-failed-text">
      <Trans>
        takes nothing since <Time at={receiver.failing_since} />
      </Trans>
    </p>
  )
}

function NewReceiver({
  customer,
  onClose,
  onMade,
}: {
  customer: CustomerDetail
  onClose: () => void
  onMade: (made: Schemas["ReceiverMade"]) => void
}) {
  const client = useQueryClient()
  return (
    <FormDialog
      title={t`New receiver of ${customer.name}`}
      controls={useMemo(() => controls(), [])}
      storeKey={`halflap-receiver-${customer.id}`}
      verb={t`Add the receiver`}
      onClose={onClose}
      send={(text) => {
        const { url, types } = JSON.parse(text) as { url: string; types: string }
        const named = types.split(",").map((each) => each.trim())
        const body = { url, headers: {}, types: named.filter((each) => each !== "") }
        const params = { path: { customer: customer.id } }
        return answerOf(api.POST("/api/customers/{customer}/receivers", { params, body }))
      }}
      onDone={(made) => {
        void client.invalidateQueries({ queryKey: receiversQuery(customer.id).queryKey })
        onClose()
        onMade(made as Schemas["ReceiverMade"])
      }}
    />
  )
}
