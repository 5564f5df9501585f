import { t } from "@lingui/core/macro"
import { useQueryClient } from "@tanstack/react-query"
import { useMemo } from "react"
import { answerOf, api, exactBody } from "~/api/client"
import type { Customer } from "~/api/customers"
import { FormDialog } from "~/features/forms/dialog"
import type { Control } from "~/features/forms/schema"

const controls = (): Control[] => [
  {
    name: "name",
    title: t`Name`,
    description: t`As people in your team know it.`,
    required: true,
    kind: "text",
    longest: 120,
  },
  {
    name: "external_id",
    title: t`Its id in your product`,
    description: t`By it your product finds the customer, as in tokens for it.`,
    required: false,
    kind: "text",
    longest: 200,
  },
]

export function NewCustomer({
  onClose,
  onMade,
}: {
  onClose: () => void
  onMade: (customer: Customer) => void
}) {
  const client = useQueryClient()
  return (
    <FormDialog
      title={t`New customer`}
      controls={useMemo(() => controls(), [])}
      storeKey="halflap-new-customer"
      verb={t`Add the customer`}
      onClose={onClose}
      send={(text) => answerOf(api.POST("/api/customers", exactBody(text)))}
      onDone={(made) => {
        void client.invalidateQueries({ queryKey: ["customers"] })
        onMade(made as Customer)
      }}
    />
  )
}
