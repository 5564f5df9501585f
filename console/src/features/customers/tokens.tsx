import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { Plus } from "lucide-react"
import { type ReactNode, useMemo, useState } from "react"
import { answerOf, api, type Schemas } from "~/api/client"
import { type CustomerDetail, tokensQuery } from "~/api/customers"
import { FormDialog } from "~/features/forms/dialog"
import type { Control } from "~/features/forms/schema"
import { Button } from "~/ui/button"
import { CopyButton } from "~/ui/copy"
import { Dialog } from "~/ui/dialog"
import { Pending } from "~/ui/notice"
import { Time } from "~/ui/time"
import { toast } from "~/ui/toast"

const controls = (): Control[] => [
  {
    name: "label",
    title: t`Purpose`,
    description: t`Such as: settings page.`,
    required: true,
    kind: "text",
    longest: 200,
  },
  {
    name: "access",
    title: t`It may`,
    description: "",
    required: true,
    kind: "choice",
    initial: "manage",
    choices: [
      { value: '"read"', label: t`look` },
      { value: '"manage"', label: t`look, connect, configure, operate` },
      { value: '"secrets"', label: t`the same, and see secrets of endpoints` },
    ],
  },
  {
    name: "lasts_seconds",
    title: t`It lasts`,
    description: "",
    required: true,
    kind: "choice",
    initial: 86_400,
    choices: [
      { value: "900", label: t`15 minutes` },
      { value: "3600", label: t`an hour` },
      { value: "86400", label: t`a day` },
      { value: "2592000", label: t`30 days` },
      { value: "31536000", label: t`a year` },
    ],
  },
]

/** The tokens that act for a customer: made, told once, revoked. */
export function Tokens({ customer }: { customer: CustomerDetail }) {
  const client = useQueryClient()
  const query = useQuery(tokensQuery(customer.id))
  const [making, setMaking] = useState(false)
  const [made, setMade] = useState<Schemas["Minted"] | null>(null)
  const renew = () => client.invalidateQueries({ queryKey: tokensQuery(customer.id).queryKey })
  const revoke = useMutation({
    mutationFn: (token: string) =>
      answerOf(api.DELETE("/api/tokens/{token}", { params: { path: { token } } })),
    onSuccess: () => toast(t`The token is revoked`, t`Its next request is refused.`),
    onError: (error) => toast(t`It was not revoked`, error.message),
    onSettled: renew,
  })
  return (
    <div className="flex flex-col gap-3">
      <div className="flex items-center justify-between gap-4">
        <p className="text-muted-foreground">
          <Trans>
            A token acts for this one customer, from your backend or a page of your product.
          </Trans>
        </p>
        <Button icon={<Plus aria-hidden />} onClick={() => setMaking(true)}>
          {t`New token`}
        </Button>
      </div>
      {query.data === undefined ? (
        <Pending of={query} lines={2} />
      ) : query.data.length === 0 ? (
        <p className="text-muted-foreground">{t`None is good now.`}</p>
      ) : (
        <ul className="flex flex-col divide-y rounded-md border">
          {query.data.map((each) => (
            <li key={each.id} className="flex items-center gap-3 px-3 py-1.5">
              <span className="min-w-0 flex-1 truncate">{each.label || each.id}</span>
              <span className="text-muted-foreground">{each.access}</span>
              <span className="text-muted-foreground">
                <Trans>
                  until <Time at={each.expires_at} />
                </Trans>
              </span>
              <Button onClick={() => revoke.mutate(each.id)}>{t`Revoke`}</Button>
            </li>
          ))}
        </ul>
      )}
      {making && <NewToken customer={customer} onClose={() => setMaking(false)} onMade={setMade} />}
      {made !== null && (
        <ShownOnce title={t`The token`} secret={made.token} onClose={() => setMade(null)}>
          {t`It is shown this once: only its hash is stored.`}
        </ShownOnce>
      )}
    </div>
  )
}

function NewToken({
  customer,
  onClose,
  onMade,
}: {
  customer: CustomerDetail
  onClose: () => void
  onMade: (made: Schemas["Minted"]) => void
}) {
  const client = useQueryClient()
  return (
    <FormDialog
      title={t`New token for ${customer.name}`}
      controls={useMemo(() => controls(), [])}
      storeKey={`halflap-token-${customer.id}`}
      verb={t`Make the token`}
      onClose={onClose}
      send={(text) => {
        const draft = JSON.parse(text) as Omit<Schemas["TokenDraft"], "customer">
        return answerOf(api.POST("/api/tokens", { body: { ...draft, customer: customer.id } }))
      }}
      onDone={(made) => {
        void client.invalidateQueries({ queryKey: tokensQuery(customer.id).queryKey })
        onClose()
        onMade(made as Schemas["Minted"])
      }}
    />
  )
}

/** A secret that was just made, and is not shown again. */
export function ShownOnce({
  title,
  secret,
  children,
  onClose,
}: {
  title: string
  secret: string
  children: ReactNode
  onClose: () => void
}) {
  return (
    <Dialog
      title={title}
      onSubmit={onClose}
      footer={
        <Button type="submit" look="primary">
          {t`I have copied it`}
        </Button>
      }
    >
      <p>{children}</p>
      <div className="flex items-center gap-2 rounded-md border bg-muted px-3 py-2">
        <code className="min-w-0 break-all" aria-label={title}>
          {secret}
        </code>
        <CopyButton text={secret} name={t`Copy it`} />
      </div>
    </Dialog>
  )
}
