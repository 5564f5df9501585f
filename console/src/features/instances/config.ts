import { useMemo } from "react"
import { api, answerOf } from "~/api/client"
import { parseExact } from "~/api/exact"
import type { Form, FormField, Slot } from "~/api/instances"
import type { ListChoices } from "~/features/forms/choices"
import { parseMembers } from "~/features/forms/json"
import {
  type Control,
  controlOf,
  type Raws,
  rawsOf,
  type Schema,
  textsOf,
  typedIn,
} from "~/features/forms/schema"
import { type FormState, useForm } from "~/features/forms/state"

export type ConnectionFormField = FormField & { connection: Slot }

export const takesConnection = (field: FormField): field is ConnectionFormField =>
  field.connection !== null

/** The control of a field: a connection's is its id, which a page shows in its own way. */
function controlFor(field: FormField): Control {
  if (takesConnection(field)) {
    return {
      name: field.name,
      title: field.title,
      description: field.description,
      required: field.required,
      kind: "choice",
      choices: [],
    }
  }
  const made = controlOf(field.name, field.value as Schema, field.required)
  return { ...made, title: field.title, description: field.description || made.description }
}

export type ConfigState = {
  form: FormState
  controls: ReadonlyMap<string, Control>
  /** The config and its connections, as the JSON text of a request's body; or these fields alone. */
  text: (only?: ReadonlySet<string>) => string
  connections: () => Record<string, string>
  /** The pages on which something is wrong, by their place. */
  wrongPages: () => number[]
}

/** What is filled in of a config: plain fields and connections, by page. */
export function useConfig(
  pages: Form["pages"],
  before: { config: string; connections: Record<string, string>; etag: string | null } | null,
  key: string,
): ConfigState {
  const fields = useMemo(() => pages.flatMap((each) => each.fields), [pages])
  const controls = useMemo(() => fields.map(controlFor), [fields])
  const byName = useMemo(() => new Map(controls.map((each) => [each.name, each])), [controls])
  const form = useForm(
    controls,
    () => {
      const plain = before === null ? {} : parseMembers(before.config, byName.keys())
      const links = before?.connections ?? {}
      return {
        ...rawsOf(controls, plain),
        ...Object.fromEntries(
          fields
            .filter(takesConnection)
            .map((each): [string, string] => [each.name, links[each.name] ?? ""]),
        ),
      }
    },
    key,
    undefined,
    before?.etag,
  )
  const connections = () => linksOf(fields, form.raws)
  const isShown = (each: Control) => !form.hidden.has(each.name)
  return {
    form,
    controls: byName,
    connections,
    text: (only) => {
      const meant = fields.filter((each) => only?.has(each.name) ?? true)
      const plain = meant.filter((each) => !takesConnection(each))
      const some = plain.flatMap((each) => byName.get(each.name) ?? []).filter(isShown)
      const links = JSON.stringify(linksOf(meant, form.raws))
      return `"config":${textsOf(some, form.raws)},"connections":${links}`
    },
    wrongPages: () =>
      pages.flatMap((page, at) => {
        const names = page.fields.map((each) => each.name)
        const isWrong = [...form.wrong.keys(), ...form.said.keys()].some((path) =>
          names.includes(path.split(".")[0] ?? ""),
        )
        return isWrong ? [at] : []
      }),
  }
}

/** Return the fields of a form that another one does not have, or has otherwise. */
export function askedOf(pages: Form["pages"], was: Form["pages"]): string[] {
  const known = new Map(
    was.flatMap((page) => page.fields.map((each) => [each.name, shapeOf(each)] as const)),
  )
  return pages
    .flatMap((page) => page.fields)
    .filter((each) => known.get(each.name) !== shapeOf(each))
    .map((each) => each.name)
}

/** What a value of a field has to be, as text: its titles and descriptions do not matter. */
function shapeOf({ value, required, connection }: FormField): string {
  const worded = new Set(["title", "description", "examples"])
  const plain = JSON.stringify(value, (key, each: unknown) => (worded.has(key) ? undefined : each))
  return JSON.stringify([plain, required, connection?.component])
}

function linksOf(fields: readonly FormField[], raws: Raws): Record<string, string> {
  return Object.fromEntries(
    fields
      .filter(takesConnection)
      .map((each): [string, string] => [each.name, typedIn(raws[each.name])])
      .filter(([, id]) => id !== ""),
  )
}

const VALUES = new Set(["value"])

/** Ask the connected app for a field's choices, with what is filled in so far. */
export function listerOf(
  place: { integration: string; version: string; customer: string },
  config: ConfigState,
): ListChoices {
  return async (name, search, cursor, signal) => {
    const head = JSON.stringify({ ...place, field: name, search, cursor, limit: 100 })
    const controls = [...config.controls.values()].filter((each) => each.name in config.form.raws)
    const links = config.connections()
    const hidden = config.form.hidden
    const plain = controls.filter((each) => !(each.name in links) && !hidden.has(each.name))
    const values = textsOf(plain, config.form.raws)
    const body = `${head.slice(0, -1)},"connections":${JSON.stringify(links)},"values":${values}}`
    const text = await answerOf(
      api.POST("/api/sources", {
        body: body as never,
        bodySerializer: () => body,
        signal,
        parseAs: "text",
      }),
    )
    const page = parseExact(text, VALUES) as {
      choices: { value: string; label: string }[]
      next: string | null
    }
    return {
      choices: page.choices.map(({ value, label }) => ({ value, label: label || value })),
      next: page.next,
    }
  }
}
