import { t } from "@lingui/core/macro"
import { useQuery, useQueryClient } from "@tanstack/react-query"
import { useMemo } from "react"
import { answerOf, api, type Schemas } from "~/api/client"
import { type Offered, offeredQuery, type Receiver, receiversQuery } from "~/api/receivers"
import { FormDialog } from "~/features/forms/dialog"
import type { Control } from "~/features/forms/schema"
import { Loading } from "~/ui/notice"

type Draft = {
  url: string
  types?: string[]
  name?: string
  how?: "stay" | "other"
  headers?: Record<string, string>
}

const asText = (value: string) => JSON.stringify(value)

/** What a receiver may name: everything, each type, and what several begin with. */
export function choicesOf(offered: readonly Offered[], now: readonly string[]) {
  const heads = offered.map(({ name }) => name.slice(0, Math.max(0, name.lastIndexOf("."))))
  const several = [...new Set(heads.filter((each, at) => each && heads.indexOf(each) !== at))]
  const found = new Map<string, string>([["*", t`all events (*)`]])
  for (const { name, title } of offered)
    found.set(name, title === name ? name : `${name} · ${title}`)
  for (const each of several) found.set(`${each}.*`, t`all that begin so: ${each}.*`)
  for (const each of now) if (!found.has(each)) found.set(each, each)
  return [...found].map(([value, label]) => ({ value: asText(value), label }))
}

function controlsOf(offered: readonly Offered[], receiver: Receiver | null): Control[] {
  const text = { required: true, kind: "text" as const, longest: 2_000 }
  const names = receiver?.header_names ?? []
  const headers: Control = {
    name: "headers",
    title: t`Headers`,
    description: t`Further headers of each message, such as Authorization. Their values are not shown again.`,
    required: false,
    kind: "mapping",
    key: { ...text, name: "key", title: t`Name`, description: "" },
    value: { ...text, name: "value", title: t`Value`, description: "", kind: "secret" },
  }
  const how: Control = {
    name: "how",
    title: t`Its headers`,
    description: t`For another host they are to be given again.`,
    required: true,
    kind: "choice",
    initial: "stay",
    choices: [
      { value: '"stay"', label: t`as they are: ${names.join(", ")}` },
      { value: '"other"', label: t`these instead, or none` },
    ],
  }
  return [
    {
      ...text,
      name: "url",
      title: t`URL`,
      description: t`Where webhooks are taken, such as: https://acme.example/hooks`,
      pattern: String.raw`^https?://[^/?#\s]+[^#\s]*$`,
    },
    {
      name: "types",
      title: t`Events`,
      description: "",
      required: true,
      kind: "list",
      initial: ["*"],
      shortest: 1,
      item: {
        name: "type",
        title: t`Event type`,
        description: "",
        required: true,
        kind: "choice",
        choices: choicesOf(offered, receiver?.types ?? []),
      },
    },
    {
      name: "name",
      title: t`Name`,
      description: t`By default, the host of the URL.`,
      required: false,
      kind: "text",
      longest: 200,
    },
    ...(names.length > 0 ? [how, { ...headers, when: { how: ["other"] } }] : [headers]),
  ]
}

/** Add a receiver of a customer, or change one. */
export function ReceiverForm({
  customer,
  receiver,
  onClose,
  onMade,
}: {
  customer: { id: string; name: string }
  receiver: Receiver | null
  onClose: () => void
  onMade: (made: Schemas["ReceiverMade"]) => void
}) {
  const client = useQueryClient()
  const { data: offered, isError } = useQuery(offeredQuery)
  const controls = useMemo(() => controlsOf(offered ?? [], receiver), [offered, receiver])
  if (offered === undefined && !isError) return <Loading />
  const send = (text: string): Promise<unknown> => {
    const { url, types = [], name, how, headers } = JSON.parse(text) as Draft
    const named = name === undefined ? {} : { name }
    if (receiver === null) {
      const params = { path: { customer: customer.id } }
      const body = { url, types, headers: headers ?? {}, ...named }
      return answerOf(api.POST("/api/customers/{customer}/receivers", { params, body }))
    }
    const replaced = receiver.header_names.length === 0 ? headers !== undefined : how === "other"
    const body = {
      types,
      ...named,
      ...(url === receiver.url ? {} : { url }),
      ...(replaced ? { headers: headers ?? {} } : {}),
    }
    const params = { path: { receiver: receiver.id } }
    return answerOf(api.PATCH("/api/receivers/{receiver}", { params, body }))
  }
  return (
    <FormDialog
      title={
        receiver !== null
          ? t`Edit ${receiver.name}`
          : customer.name === ""
            ? t`New receiver`
            : t`New receiver of ${customer.name}`
      }
      controls={controls}
      {...(receiver === null
        ? {}
        : { based: { values: { ...receiver, how: "stay" }, etag: null } })}
      storeKey={`halflap-receiver-${receiver?.id ?? customer.id}`}
      verb={receiver === null ? t`Add the receiver` : t`Save`}
      onClose={onClose}
      send={send}
      onDone={(made) => {
        void client.invalidateQueries({ queryKey: receiversQuery(customer.id).queryKey })
        onClose()
        if (receiver === null) onMade(made as Schemas["ReceiverMade"])
      }}
    />
  )
}

/** Send a test event: the example of a type, to this receiver alone. */
export function SendTest({
  receiver,
  onClose,
  onDone,
}: {
  receiver: Receiver
  onClose: () => void
  onDone: () => void
}) {
  const offered = useQuery(offeredQuery).data
  const controls = useMemo((): Control[] => {
    const samples = (offered ?? []).filter((each) => each.sample)
    return [
      {
        name: "type",
        title: t`Event`,
        description: t`The declared example of its type is sent, signed, to this receiver alone.`,
        required: true,
        kind: "choice",
        initial: "webhook.test",
        choices: ["webhook.test", ...samples.map((each) => each.name)].map((each) => ({
          value: asText(each),
          label: each,
        })),
      },
    ]
  }, [offered])
  return (
    <FormDialog
      title={t`Send a test to ${receiver.name}`}
      controls={controls}
      storeKey={`halflap-receiver-test-${receiver.id}`}
      verb={t`Send it`}
      onClose={onClose}
      send={(text) =>
        answerOf(
          api.POST("/api/receivers/{receiver}/test", {
            params: { path: { receiver: receiver.id } },
            body: JSON.parse(text) as Schemas["SampleEvent"],
          }),
        )
      }
      onDone={onDone}
    />
  )
}
