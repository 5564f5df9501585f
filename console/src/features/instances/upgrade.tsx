import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { type ReactNode, useState } from "react"
import { answerOf, api, exactBody, ifMatch } from "~/api/client"
import { type Form, formQuery, type Instance, instanceQuery } from "~/api/instances"
import { integrationQuery, type Version } from "~/features/integrations/queries"
import { Button } from "~/ui/button"
import { Dialog } from "~/ui/dialog"
import { Field, Select } from "~/ui/field"
import { FormError, Pending } from "~/ui/notice"
import { toast } from "~/ui/toast"
import { askedOf, useConfig } from "./config"
import { ConfigPage } from "./fields"

type Props = { instance: Instance; onClose: () => void }

/** Move an instance to another version: it asks only for what that one needs beside the config it has. */
export function UpgradeInstance({ instance, onClose }: Props) {
  const query = useQuery(integrationQuery(instance.integration))
  const others = (query.data?.versions ?? []).filter((each) => each.hash !== instance.version.hash)
  const [chosen, setChosen] = useState<string | null>(null)
  const version = others.find((each) => each.hash === chosen) ?? others[0]
  const before = useQuery(instanceQuery(instance.id))
  const was = useQuery(formQuery(instance.integration, instance.version.hash))
  const form = useQuery({
    ...formQuery(instance.integration, version?.hash ?? ""),
    enabled: version !== undefined,
  })
  const failed = [query, before, was, form].find((each) => each.error !== null)
  const choice = (
    <Field label={t`Version`}>
      {(control) => (
        <Select
          {...control}
          value={version?.hash ?? ""}
          onChange={(event) => setChosen(event.target.value)}
        >
          {others.map((each) => (
            <option key={each.hash} value={each.hash}>
              {nameOf(each)}
            </option>
          ))}
        </Select>
      )}
    </Field>
  )
  if (
    version !== undefined &&
    form.data !== undefined &&
    was.data !== undefined &&
    before.data !== undefined
  ) {
    const { config, etag } = before.data
    return (
      <Asked
        key={version.hash}
        instance={instance}
        version={version}
        pages={form.data.pages}
        was={was.data.pages}
        before={{ config, connections: instance.connections, etag }}
        choice={choice}
        onClose={onClose}
      />
    )
  }
  return (
    <Dialog
      title={t`Upgrade ${instance.name}`}
      onClose={onClose}
      footer={<Button onClick={onClose}>{t`Close`}</Button>}
    >
      {failed === undefined && query.data !== undefined && version === undefined ? (
        <p>{t`There is no other version of this integration.`}</p>
      ) : (
        <Pending of={failed ?? form} lines={3} />
      )}
    </Dialog>
  )
}

const nameOf = ({ number, note }: Version) =>
  note === "" ? t`version ${number}` : `${t`version ${number}`}: ${note}`

function Asked({
  instance,
  version,
  pages,
  was,
  before,
  choice,
  onClose,
}: Props & {
  version: Version
  pages: Form["pages"]
  was: Form["pages"]
  before: { config: string; connections: Record<string, string>; etag: string | null }
  choice: ReactNode
}) {
  const client = useQueryClient()
  const state = useConfig(pages, before, `upgrade-${instance.id}-${version.hash}`)
  const { form } = state
  // What is asked as it opens stays; what the server finds wrong beside it is asked then.
  const [first] = useState(() => new Set([...askedOf(pages, was), ...form.wrong.keys()]))
  const asked = new Set([...first, ...form.said.keys()].map((path) => path.split(".")[0] ?? path))
  const run = useMutation({
    mutationFn: () =>
      answerOf(
        api.POST("/api/instances/{instance}/upgrade", {
          params: { path: { instance: instance.id } },
          ...ifMatch(before.etag),
          ...exactBody(`{"version":${JSON.stringify(version.hash)},${state.text(asked)}}`),
        }),
      ),
    onSuccess: () => {
      form.drop()
      toast(
        t`${instance.name} moves to version ${version.number}`,
        t`What has begun keeps its version.`,
      )
      void client.invalidateQueries({ queryKey: ["instances"] })
      onClose()
    },
    onError: (refused: Error) => form.refuse(refused),
  })
  const shown = pages
    .map((page) => ({ ...page, fields: page.fields.filter((each) => asked.has(each.name)) }))
    .filter((page) => page.fields.length > 0)
  const place = {
    integration: instance.integration,
    version: version.hash,
    customer: instance.customer,
  }
  return (
    <Dialog
      title={t`Upgrade ${instance.name}`}
      onClose={onClose}
      onSubmit={() => form.check() && run.mutate()}
      footer={
        <>
          <Button onClick={onClose}>{t`Close`}</Button>
          <Button type="submit" look="primary" busy={run.isPending}>
            {t`Upgrade to version ${version.number}`}
          </Button>
        </>
      }
    >
      {choice}
      {shown.length === 0 ? (
        <p className="text-muted-foreground">{t`It needs nothing that its config does not have.`}</p>
      ) : (
        <>
          <p>
            <Trans>This version asks for what is new or another in it. All else stays.</Trans>
          </p>
          {shown.map((page) => (
            <ConfigPage key={page.title} page={page} place={place} config={state} />
          ))}
        </>
      )}
      <FormError error={run.error} />
    </Dialog>
  )
}
