import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useQuery, useQueryClient } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { answerOf, api } from "~/api/client"
import type { CustomerDetail } from "~/api/customers"
import { Confirm } from "~/ui/confirm"
import { FactList } from "~/ui/facts"
import { Pending } from "~/ui/notice"
import { toast } from "~/ui/toast"

type Props = { customer: CustomerDetail; onClose: () => void; onGone: () => void }

export function RemoveCustomer({ customer, onClose, onGone }: Props) {
  const client = useQueryClient()
  return (
    <Confirm
      title={t`Remove ${customer.name}`}
      verb={t`Remove the customer`}
      danger
      onClose={onClose}
      onConfirm={async () => {
        const params = { path: { customer: customer.id } }
        await api.DELETE("/api/customers/{customer}", { params })
        onGone()
        toast(t`${customer.name} is removed`)
        void client.invalidateQueries({ queryKey: ["customers", "list"] })
      }}
    >
      <p>
        <Trans>This works once it has no instances and no connections.</Trans>
      </p>
    </Confirm>
  )
}

/** Erase a customer, once its name is typed: it says what goes, and what has to be done before. */
export function EraseCustomer({ customer, onClose, onGone }: Props) {
  const client = useQueryClient()
  const params = { path: { customer: customer.id } }
  const plan = useQuery({
    queryKey: ["customers", "one", customer.id, "erasure"],
    gcTime: 0,
    queryFn: ({ signal }) =>
      answerOf(api.GET("/api/customers/{customer}/erasure", { params, signal })),
  })
  const blocked = (plan.data?.before ?? []).length > 0
  const erase = async () => {
    for (;;) {
      const done = await answerOf(
        api.POST("/api/customers/{customer}/erasure", {
          params: { ...params, query: { wait: 20 } },
          body: {} as never,
        }),
      )
      if (done.left === 0) break
    }
    onGone()
    toast(t`${customer.name} is erased`)
    void client.invalidateQueries({ queryKey: ["customers", "list"] })
  }
  return (
    <Confirm
      title={t`Erase ${customer.name}`}
      verb={t`Erase for good`}
      danger
      typed={blocked || plan.data === undefined ? "\0" : customer.name}
      onClose={onClose}
      onConfirm={erase}
    >
      {plan.data === undefined ? (
        <Pending of={plan} lines={3} />
      ) : (
        <>
          <FactList
            facts={[
              [t`Instances`, plan.data.instances.toLocaleString()],
              [t`Connections`, plan.data.connections.toLocaleString()],
              [t`Executions`, plan.data.executions.toLocaleString()],
              [t`Large payloads`, plan.data.blobs.toLocaleString()],
            ]}
          />
          {blocked && (
            <div role="alert" className="rounded-md border border-waiting/50 px-3 py-2">
              <p className="font-medium">{t`Before that:`}</p>
              <ul className="list-disc pl-4">
                {plan.data.before.map((each) => (
                  <li key={each} className="break-words">
                    <Before text={each} />
                  </li>
                ))}
              </ul>
            </div>
          )}
        </>
      )}
    </Confirm>
  )
}

const REMOVE = /^halflap receivers remove (ins_\w+) {2}\(it sends webhooks to (.+)\)$/
const DISABLE = /^halflap instances disable (ins_\w+) {2}\((.+) is (\w+);/

/** What has to be done before: an instance that is to be disabled is a link to it. */
function Before({ text }: { text: string }) {
  const [, receiver, host] = REMOVE.exec(text) ?? []
  const [, instance, name, state] = DISABLE.exec(text) ?? []
  if (receiver !== undefined) return <Trans>remove its receiver {host}, under Webhooks</Trans>
  if (instance === undefined) return text
  return (
    <Trans>
      disable{" "}
      <Link to="/instances/$instance" params={{ instance }} className="link">
        {name}
      </Link>
      , which is {state}
    </Trans>
  )
}
