import { type Control, controlOf, type Schema } from "~/features/forms/schema"
import { isObject, type Json } from "../fields/model"
import { typedText } from "../fields/shape"

/** A field of the config, as the document has it. */
export type ConfigField = { name: string; held: { [name: string]: Json } }
export type ConfigPage = { name: string; fields: ConfigField[] }

export function pagesOf(config: Json | undefined): ConfigPage[] {
  if (!isObject(config)) return []
  return Object.entries(config).map(([name, page]) => ({
    name,
    fields: Object.entries(isObject(page) ? page : {}).map(([field, held]) => ({
      name: field,
      held: isObject(held) ? held : {},
    })),
  }))
}

/** The patterns of `halflap/lowcode/config.py`. */
const TYPES: Record<string, Schema> = {
  text: { type: "string" },
  integer: { type: "integer" },
  decimal: { anyOf: [{ type: "number" }, { type: "string" }] },
  boolean: { type: "boolean" },
  date: { type: "string", format: "date" },
  datetime: { type: "string", format: "date-time" },
  url: { type: "string", pattern: "^https?://\\S+$" },
  email: { type: "string", pattern: "^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$" },
}

/**
 * Return the schema of a field's value, as the server makes it once it is published: by it the form of
 * an activation is drawn, and the preview.
 */
export function schemaOf({ name, held }: ConfigField): Schema {
  const text = (key: string) => (typeof held[key] === "string" ? held[key] : undefined)
  const about: Schema = {
    title: text("title") ?? sentence(name),
    ...(text("description") === undefined ? {} : { description: text("description") ?? "" }),
    ...(held["default"] === undefined ? {} : { default: held["default"] }),
  }
  const when = held["when"]
  if (isObject(when)) {
    const values = Object.entries(when).map(([other, each]) => [
      other,
      Array.isArray(each) ? each : [each],
    ])
    about["x-when"] = Object.fromEntries(values) as Record<string, Json[]>
  }
  const type = text("type") ?? "text"
  if (type === "mapping") {
    const to = held["to"]
    return {
      ...about,
      type: "object",
      additionalProperties: { type: "string" },
      ...(Array.isArray(to) ? { "x-to": to.map(typedText) } : {}),
    }
  }
  let value: Schema = { ...TYPES[type] }
  const [least, most] = [bound(held["minimum"]), bound(held["maximum"])]
  const isText = value.type === "string"
  if (least !== undefined) value[isText ? "minLength" : "minimum"] = least
  if (most !== undefined) value[isText ? "maxLength" : "maximum"] = most
  if (value.anyOf !== undefined) {
    const [number = {}, other = {}] = value.anyOf
    const { minimum, maximum } = value
    value = {
      anyOf: [
        {
          ...number,
          ...(minimum === undefined ? {} : { minimum }),
          ...(maximum === undefined ? {} : { maximum }),
        },
        other,
      ],
    }
  }
  const choices = held["choices"]
  if (Array.isArray(choices)) value = { type: "string", enum: choices.map(typedText) }
  else if (isObject(choices)) {
    const labels = Object.entries(choices).map(([each, label]) => [each, typedText(label)])
    value = {
      type: "string",
      enum: Object.keys(choices),
      "x-labels": Object.fromEntries(labels) as Record<string, string>,
    }
  }
  if (held["source"] !== undefined) {
    value = { ...value, "x-source": { depends: [], open: held["open"] === true, search: false } }
  }
  if (held["multiple"] === true) {
    const { "x-labels": labels, ...items } = value
    value = { type: "array", items: { ...items, ...(labels && { "x-labels": labels }) } }
  }
  return { ...value, ...about }
}

/** Return the control of a field, as a customer sees it; null of a connection, which has its own. */
export function controlFor(field: ConfigField): Control | null {
  if (field.held["connection"] !== undefined) return null
  const { required, default: initial } = field.held
  const wanted = typeof required === "boolean" ? required : initial === undefined
  const made = controlOf(field.name, schemaOf(field), wanted)
  return { ...made, title: typedText(field.held["title"]) || sentence(field.name) }
}

const sentence = (name: string) => {
  const text = name.replaceAll("_", " ")
  return text.charAt(0).toUpperCase() + text.slice(1).toLowerCase()
}

const bound = (value: Json | undefined) =>
  value === undefined || value === null || Number.isNaN(Number(value)) ? undefined : Number(value)

const NAME = /^[A-Za-z][A-Za-z0-9_]*$/
const TAKEN = new Set(
  (
    "False None True and as assert async await break class continue def del elif else except finally for " +
    "from global if import in is lambda nonlocal not or pass raise return try while with yield model_config"
  ).split(" "),
)

/** Why a field cannot have a name; null where it can. */
export function nameFault(
  name: string,
  pages: readonly ConfigPage[],
): "form" | "reserved" | "taken" | null {
  if (!NAME.test(name)) return "form"
  if (TAKEN.has(name)) return "reserved"
  return pages.some((page) => page.fields.some((each) => each.name === name)) ? "taken" : null
}
