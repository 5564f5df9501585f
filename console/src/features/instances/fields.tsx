import { useMemo } from "react"
import type { Form } from "~/api/instances"
import { ConnectionField } from "~/features/connections/slot"
import { ChoicesContext } from "~/features/forms/choices"
import { ControlField, wrongWords } from "~/features/forms/fields"
import { typedIn } from "~/features/forms/schema"
import { notSignedIn } from "./account"
import { type ConfigState, listerOf, takesConnection } from "./config"

/** One page of a config, filled in for a customer: its connections are made in their place. */
export function ConfigPage({
  page,
  place,
  config,
  unsigned,
}: {
  page: Form["pages"][number]
  place: { integration: string; version: string; customer: string }
  config: ConfigState
  /** The fields whose accounts are told to be without a sign-in. */
  unsigned?: ReadonlySet<string>
}) {
  const { form } = config
  const choices = useMemo(
    () => ({
      list: listerOf(place, config),
      version: (depends: readonly string[]) =>
        JSON.stringify([depends.map((each) => form.raws[each]), config.connections()]),
    }),
    [place, config, form.raws],
  )
  return (
    <ChoicesContext value={choices}>
      <div className="flex max-w-xl flex-col gap-4">
        {page.fields.map((field) => {
          if (takesConnection(field)) {
            const wrong = form.wrong.get(field.name)
            const error =
              (unsigned?.has(field.name) === true ? notSignedIn() : undefined) ??
              form.said.get(field.name) ??
              (wrong !== undefined && form.shown(field.name) ? wrongWords(wrong) : null)
            return (
              <ConnectionField
                key={field.name}
                field={field}
                {...place}
                value={typedIn(form.raws[field.name])}
                error={error}
                onChange={(id) => form.set(field.name, id)}
              />
            )
          }
          const control = config.controls.get(field.name)
          return (
            control !== undefined && (
              <ControlField
                key={field.name}
                control={control}
                path={field.name}
                raw={form.raws[field.name]}
                onChange={(raw) => form.set(field.name, raw)}
                form={form}
              />
            )
          )
        })}
      </div>
    </ChoicesContext>
  )
}
