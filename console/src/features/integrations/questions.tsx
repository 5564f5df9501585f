import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useEffect, useEffectEvent, useMemo } from "react"
import type { Form } from "~/api/instances"
import { takesConnection, useConfig } from "~/features/instances/config"
import { ConfigPage } from "~/features/instances/fields"
import { textsOf } from "~/features/forms/schema"

/** What a version asks for that some instances have no value for: answered once for all of them. */
export function Questions({
  integration,
  version,
  pages: whole,
  asked,
  onConfig,
}: {
  integration: string
  version: string
  pages: Form["pages"]
  asked: readonly string[]
  /** Tells the values as the text of a JSON object. */
  onConfig: (text: string) => void
}) {
  const pages = useMemo(
    () =>
      whole
        .map((page) => ({
          ...page,
          fields: page.fields.filter((each) => asked.includes(each.name)),
        }))
        .filter((page) => page.fields.some((each) => !takesConnection(each))),
    [whole, asked],
  )
  const config = useConfig(pages, null, `upgrade-all-${version}`)
  const { form, controls } = config
  const right = [...controls.values()].filter(
    ({ name }) =>
      !form.hidden.has(name) && ![...form.wrong.keys()].some((path) => path.split(".")[0] === name),
  )
  const text = textsOf(right, form.raws)
  const tell = useEffectEvent(onConfig)
  useEffect(() => tell(text), [text])
  const place = { integration, version, customer: "" }
  return (
    <section aria-label={t`Values for all`} className="flex flex-col gap-3 border-t pt-3">
      <p>
        <Trans>
          This version asks for what some instances have no value for. They get these; what an
          instance has of its own stays.
        </Trans>
      </p>
      {pages.map((page) => (
        <ConfigPage key={page.title} page={page} place={place} config={config} />
      ))}
    </section>
  )
}
