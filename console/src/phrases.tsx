import { I18n, type MessageDescriptor, type MessageOptions, type Values } from "@lingui/core"
import { Trans as Sentence, type TransProps } from "@lingui/react"

// What lingui's macros call, by `lingui.config.ts`. A phrase's values come from outside and are texts, but lingui takes tags in
// them for the phrase's elements (in `Trans`), and `\xff` in them for a letter (in `t`).

/** A catalogue that shows backslashes in values as they are. */
class Phrases extends I18n {
  override _(
    phrase: MessageDescriptor | string,
    values?: Values,
    options?: MessageOptions,
  ): string {
    if (typeof phrase === "string") return super._(phrase, escaped(values), options)
    return super._({ ...phrase, values: escaped(phrase.values) })
  }
}

function escaped(values: Values = {}): Values {
  return mapped(values, (each) =>
    typeof each === "string" ? each.replaceAll("\\", "\\x5c") : each,
  )
}

function mapped(values: Values, map: (value: unknown) => unknown): Values {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, map(value)]))
}

export const i18n = new Phrases({})

/** A phrase with elements: a value with tags is shown with them. */
export function Trans({ values = {}, ...rest }: TransProps) {
  const texts = mapped(values, (each) =>
    typeof each === "string" && each.includes("<") ? <>{each}</> : each,
  )
  return <Sentence {...rest} values={texts} />
}
