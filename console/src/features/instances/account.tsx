import { t } from "@lingui/core/macro"
import { useMutation, useQueries, useQuery, useQueryClient } from "@tanstack/react-query"
import { useState } from "react"
import { answerOf, api } from "~/api/client"
import { connectionQuery } from "~/api/connections"
import { formQuery, type Instance } from "~/api/instances"
import { ConnectionField } from "~/features/connections/slot"
import { moved, useRenewal } from "~/features/session/renewal"
import { Button } from "~/ui/button"
import { Dialog } from "~/ui/dialog"
import { FormError, Pending } from "~/ui/notice"
import { toast } from "~/ui/toast"
import { takesConnection } from "./config"

/** Say what to do about an account that nobody has signed in to. */
export const notSignedIn = (): string =>
  t`Nobody has signed in to this account yet: press Connect and sign in at the app, or choose another one.`

/** Return the fields whose chosen accounts nobody has signed in to; `chosen` are their ids, by field. */
export function useUnsigned(chosen: Record<string, string>): ReadonlySet<string> {
  const fields = Object.entries(chosen)
  useRenewal(["connections", "one"], 300, (news) => moved(news, "connections"))
  return useQueries({
    queries: fields.map(([, id]) => connectionQuery(id)),
    combine: (found) =>
      new Set(
        fields.flatMap(([field], at) =>
          found[at]?.data?.value.needs_sign_in === true ? [field] : [],
        ),
      ),
  })
}

/** Choose another account for an instance's field; where it is active, it is deployed with it. */
export function ChangeAccount({
  instance,
  field: name,
  onClose,
}: {
  instance: Instance
  field: string
  onClose: () => void
}) {
  const client = useQueryClient()
  const form = useQuery(formQuery(instance.integration, instance.version.hash))
  const now = instance.connections[name] ?? ""
  const [chosen, setChosen] = useState(now)
  const [tried, setTried] = useState(false)
  const unsigned = useUnsigned(chosen === "" ? {} : { [name]: chosen }).has(name)
  const isActive = instance.state === "active"
  const change = useMutation({
    mutationFn: async () => {
      const params = { path: { instance: instance.id } }
      const body = { connections: { [name]: chosen } }
      await answerOf(api.PATCH("/api/instances/{instance}", { params, body }))
      if (isActive) await answerOf(api.POST("/api/instances/{instance}/redeploy", { params }))
    },
    onSuccess: () => {
      toast(t`The account is changed`, t`New events run with it.`)
      onClose()
    },
    onSettled: () => client.invalidateQueries({ queryKey: ["instances"] }),
  })
  const field = form.data?.pages
    .flatMap((each) => each.fields)
    .filter(takesConnection)
    .find((each) => each.name === name)
  return (
    <Dialog
      title={t`Change the account`}
      onClose={onClose}
      onSubmit={() => {
        setTried(true)
        if (chosen !== now && chosen !== "" && !unsigned) change.mutate()
      }}
      footer={
        <>
          <Button onClick={onClose}>{t`Close`}</Button>
          <Button
            type="submit"
            look="primary"
            busy={change.isPending}
            disabled={chosen === now || chosen === ""}
          >
            {t`Change the account`}
          </Button>
        </>
      }
    >
      {field === undefined ? (
        <Pending of={form} lines={3} />
      ) : (
        <ConnectionField
          field={field}
          customer={instance.customer}
          integration={instance.integration}
          version={instance.version.hash}
          value={chosen}
          error={tried && unsigned ? notSignedIn() : null}
          onChange={setChosen}
        />
      )}
      <p className="text-muted-foreground">
        {isActive
          ? t`What runs goes on with the former account. The instance is deployed again: its webhooks are made at the new one, and taken down at the former.`
          : t`It counts from its next activation on.`}
      </p>
      <FormError error={change.error} />
    </Dialog>
  )
}
