import { t } from "@lingui/core/macro"
import { useMemo, useState } from "react"
import { answerOf, api, exactBody, ifMatch } from "~/api/client"
import type { Connection, ConnectionDetail } from "~/api/connections"
import { ApiError } from "~/api/problem"
import type { Slot } from "~/api/instances"
import { FormDialog } from "~/features/forms/dialog"
import { type Control, controlsOf, type Schema } from "~/features/forms/schema"
import { Choice } from "~/ui/field"
import { SandboxOffer } from "./sandbox"

const NAME = "$name"

/** Which type of connection is made: an installed component's, or that of a config's field. */
export type Wanted =
  | { component: string; slot: Slot }
  | { integration: string; version: string; field: string; slot: Slot }

function nameControl(initial: string): Control {
  return {
    name: NAME,
    title: t`Name of the connection`,
    description: t`By it people tell this account from others.`,
    required: true,
    kind: "text",
    longest: 120,
    initial,
  }
}

/** Take the name out of what the form sends: it is no value of the app's. */
function split(text: string): { name: string; values: string } {
  const found = JSON.parse(text) as Record<string, string>
  const name = found[NAME] ?? ""
  const head = `{${JSON.stringify(NAME)}:${JSON.stringify(name)}`
  const rest = text.slice(head.length)
  return { name, values: `{${rest.startsWith(",") ? rest.slice(1) : rest}` }
}

async function named<T>(call: Promise<T>, controls: readonly Control[]): Promise<T> {
  try {
    return await call
  } catch (error) {
    const fields = error instanceof ApiError ? error.problem.fields : null
    if (fields?.["name"] !== undefined && !controls.some((each) => each.name === "name")) {
      fields[NAME] = fields["name"]
      delete fields["name"]
    }
    throw error
  }
}

function TestFirst({ on, onChange }: { on: boolean; onChange: (on: boolean) => void }) {
  return (
    <Choice
      label={t`Test it at the app before it is saved`}
      checked={on}
      onChange={(event) => onChange(event.target.checked)}
    />
  )
}

/** Asks for what a connection is made of, tests it, and saves it. */
export function MakeConnection({
  customer,
  wanted,
  name,
  onClose,
  onMade,
}: {
  customer: string | null
  wanted: Wanted
  name: string
  onClose: () => void
  onMade: (made: Connection) => void
}) {
  const [test, setTest] = useState(true)
  const { slot } = wanted
  const controls = useMemo(
    () => [nameControl(name), ...controlsOf(slot.form as Schema)],
    [slot, name],
  )
  const type =
    "component" in wanted
      ? { component: wanted.component }
      : { integration: wanted.integration, version: wanted.version, field: wanted.field }
  return (
    <FormDialog
      title={t`Connect ${slot.title}`}
      controls={controls}
      storeKey={`halflap-connect-${customer ?? "team"}-${slot.component}`}
      verb={t`Save the connection`}
      onClose={onClose}
      after={<TestFirst on={test} onChange={setTest} />}
      send={(text) => {
        const given = split(text)
        const head = JSON.stringify({ ...type, customer, name: given.name, test })
        const body = `${head.slice(0, -1)},"values":${given.values}}`
        return named(answerOf(api.POST("/api/connections", exactBody(body))), controls)
      }}
      onDone={(made) => onMade(made as Connection)}
    >
      <SandboxOffer
        wanted={wanted}
        send={{ ...type, customer, name, test: true }}
        onMade={onMade}
      />
    </FormDialog>
  )
}

/** Changes a connection's fields; secrets that are stored stay where they are left blank. */
export function ChangeConnection({
  connection,
  form,
  etag,
  reload,
  onClose,
  onDone,
}: {
  connection: ConnectionDetail
  form: unknown
  etag: string | null
  reload: () => Promise<{ value: ConnectionDetail; etag: string | null }>
  onClose: () => void
  onDone: () => void
}) {
  const [test, setTest] = useState(true)
  const controls = useMemo(
    () => [nameControl(connection.name), ...controlsOf(form as Schema)],
    [form, connection.name],
  )
  const kept = useMemo(() => new Set(connection.secrets), [connection.secrets])
  const valuesOf = (found: Connection) => ({ ...(found.fields as object), [NAME]: found.name })
  return (
    <FormDialog
      title={t`Change ${connection.name}`}
      controls={controls}
      based={{ values: valuesOf(connection), etag }}
      reload={async () => {
        const found = await reload()
        return { values: valuesOf(found.value), etag: found.etag }
      }}
      storeKey={`halflap-connection-${connection.id}`}
      verb={t`Save the connection`}
      clear
      kept={kept}
      onClose={onClose}
      after={<TestFirst on={test} onChange={setTest} />}
      send={(text, mark) => {
        const given = split(text)
        const head = JSON.stringify({ name: given.name, test })
        const body = `${head.slice(0, -1)},"values":${given.values}}`
        const params = { path: { connection: connection.id } }
        return named(
          answerOf(
            api.PATCH("/api/connections/{connection}", {
              params,
              ...ifMatch(mark),
              ...exactBody(body),
            }),
          ),
          controls,
        )
      }}
      onDone={onDone}
    />
  )
}
