import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useQueries, useQuery, useQueryClient } from "@tanstack/react-query"
import { useState } from "react"
import { answerOf, api } from "~/api/client"
import { type Connection, componentsQuery } from "~/api/connections"
import { formQuery } from "~/api/instances"
import { Button } from "~/ui/button"
import { Dialog } from "~/ui/dialog"
import { ErrorNotice, Loading } from "~/ui/notice"
import { MakeConnection, type Wanted } from "./form"
import { SignIn } from "./sign-in"

const MOST = 40

/** The apps that one can connect to: installed components, and types that lie in integrations. */
function useWanted(): { some: Wanted[] | undefined; error: unknown } {
  const components = useQuery(componentsQuery)
  const integrations = useQuery({
    queryKey: ["integrations", "names"],
    queryFn: ({ signal }) =>
      answerOf(api.GET("/api/integrations", { params: { query: { limit: MOST } }, signal })),
  })
  const forms = useQueries({
    queries: (integrations.data?.items ?? [])
      .slice(0, MOST)
      .map((each) => formQuery(each.name, "newest")),
  })
  if (components.data === undefined) return { some: undefined, error: components.error }
  const installed: Wanted[] = components.data
    .filter((each) => each.connection !== null && each.connection !== undefined)
    .map((each) => ({
      component: each.name,
      slot: { component: each.name, title: each.title, form: each.connection },
    }))
  const known = new Set(installed.map((each) => each.slot.component))
  const others: Wanted[] = []
  for (const { data } of forms) {
    for (const field of data?.pages.flatMap((page) => page.fields) ?? []) {
      const slot = field.connection
      if (data === undefined || slot === null || known.has(slot.component)) continue
      known.add(slot.component)
      others.push({
        integration: data.integration,
        version: data.version.hash,
        field: field.name,
        slot,
      })
    }
  }
  return { some: [...installed, ...others], error: null }
}

/** Make a connection for a customer, or for the team: which app, then what it asks for. */
export function NewConnection({
  customer,
  onClose,
}: {
  customer: string | null
  onClose: () => void
}) {
  const client = useQueryClient()
  const { some, error } = useWanted()
  const [wanted, setWanted] = useState<Wanted | null>(null)
  const [made, setMade] = useState<Connection | null>(null)
  if (made?.needs_sign_in === true) {
    return <SignInDialog connection={made} onClose={onClose} />
  }
  if (wanted !== null) {
    return (
      <MakeConnection
        customer={customer}
        wanted={wanted}
        name={wanted.slot.title}
        onClose={onClose}
        onMade={(connection) => {
          void client.invalidateQueries({ queryKey: ["connections"] })
          if (connection.needs_sign_in) setMade(connection)
          else onClose()
        }}
      />
    )
  }
  return (
    <Dialog
      title={t`New connection`}
      onClose={onClose}
      footer={<Button onClick={onClose}>{t`Close`}</Button>}
    >
      <p className="text-muted-foreground">
        {customer === null ? (
          <Trans>Every customer's instances may use a connection of the team's.</Trans>
        ) : (
          <Trans>Which app?</Trans>
        )}
      </p>
      {some === undefined ? (
        error === null ? (
          <Loading lines={3} />
        ) : (
          <ErrorNotice error={error} />
        )
      ) : (
        <ul className="grid grid-cols-1 gap-2 sm:grid-cols-2">
          {some.map((each) => (
            <li key={each.slot.component}>
              <button
                type="button"
                onClick={() => setWanted(each)}
                className="flex w-full flex-col rounded-md border px-3 py-2 text-left hover:bg-secondary"
              >
                <span className="font-medium">{each.slot.title}</span>
                <code className="truncate text-muted-foreground">{each.slot.component}</code>
              </button>
            </li>
          ))}
        </ul>
      )}
    </Dialog>
  )
}

/** Asks to sign in at the app, for a connection that is saved. */
export function SignInDialog({
  connection,
  onClose,
}: {
  connection: { id: string; name: string }
  onClose: () => void
}) {
  return (
    <Dialog
      title={t`Sign in for ${connection.name}`}
      onClose={onClose}
      footer={<Button onClick={onClose}>{t`Later`}</Button>}
    >
      <p>
        <Trans>
          It is saved. Somebody has to sign in at the app now, in a window of its own, and allow it.
        </Trans>
      </p>
      <SignIn connection={connection} onDone={onClose} />
    </Dialog>
  )
}
