import { t } from "@lingui/core/macro"
import { useQuery, useQueryClient } from "@tanstack/react-query"
import { Plus } from "lucide-react"
import { useEffect, useEffectEvent, useRef } from "react"
import { type Connection, usableQuery } from "~/api/connections"
import type { FormField, Slot } from "~/api/instances"
import { useOpened } from "~/features/session/draft"
import { moved, useRenewal } from "~/features/session/renewal"
import { Button } from "~/ui/button"
import { Field, Select } from "~/ui/field"
import { MakeConnection } from "./form"
import { SignIn } from "./sign-in"
import { ConnectionBadge, signsIn } from "./state"

const RENEW_MS = 300

/** A field of a config that takes a connection: one that is there, or a new one, made in its place. */
export function ConnectionField({
  field,
  customer,
  integration,
  version,
  value,
  error,
  onChange,
}: {
  field: FormField & { connection: Slot }
  customer: string
  integration: string
  version: string
  value: string | undefined
  error: string | null
  onChange: (connection: string) => void
}) {
  const client = useQueryClient()
  const { connection: slot } = field
  const usable = useQuery(usableQuery(customer, slot.component))
  // Somebody may sign in at the app in another tab.
  useRenewal(["connections", "usable"], RENEW_MS, (news) => moved(news, "connections"))
  const [making, setMaking] = useOpened<true>(
    `connect:${customer}:${integration}:${version}:${field.name}`,
  )
  const chosen = usable.data?.find((each) => each.id === value)
  // The only account that there is, in a field that nobody has chosen for: one may still choose none.
  const only = usable.data?.length === 1 ? usable.data[0]?.id : undefined
  const offered = useRef((value ?? "") !== "")
  const offer = useEffectEvent((id: string) => {
    if (!offered.current && (value ?? "") === "") onChange(id)
    offered.current = true
  })
  useEffect(() => {
    if (only !== undefined) offer(only)
  }, [only])
  const made = (connection: Connection) => {
    setMaking(null)
    onChange(connection.id)
    void client.invalidateQueries({ queryKey: ["connections"] })
  }
  return (
    <div className="flex flex-col gap-2 rounded-md border px-3 py-3">
      <Field label={field.title} hint={field.description || undefined} error={error}>
        {(control) => (
          <div className="flex flex-wrap items-center gap-2">
            <Select
              {...control}
              className="max-w-72"
              value={value ?? ""}
              onChange={(event) => {
                offered.current = true
                onChange(event.target.value)
              }}
            >
              <option value="">
                {usable.data?.length === 0 ? t`None yet: make one` : t`Choose an account…`}
              </option>
              {usable.data?.map((each) => (
                <option key={each.id} value={each.id}>
                  {each.customer === null ? t`${each.name} (the team's)` : each.name}
                </option>
              ))}
            </Select>
            {chosen !== undefined && <ConnectionBadge connection={chosen} />}
            <Button
              icon={<Plus aria-hidden />}
              look={usable.data?.length === 0 ? "primary" : "outline"}
              onClick={() => setMaking(true)}
            >
              {chosen === undefined ? t`Connect ${slot.title}…` : t`Another account…`}
            </Button>
          </div>
        )}
      </Field>
      {chosen !== undefined &&
        signsIn(chosen) &&
        (chosen.needs_sign_in || chosen.status === "unauthorized") && (
          <SignIn connection={chosen} again={!chosen.needs_sign_in} />
        )}
      {making !== null && (
        <MakeConnection
          customer={customer}
          wanted={{ integration, version, field: field.name, slot }}
          name={slot.title}
          onClose={() => setMaking(null)}
          onMade={made}
        />
      )}
    </div>
  )
}
