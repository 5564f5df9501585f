import { faultOf } from "~/api/exact"
import { asText, Exact, members } from "./json"

/** What is read of a JSON Schema, as Pydantic and our API write them. */
export type Schema = {
  type?: string | string[]
  title?: string
  description?: string
  default?: unknown
  enum?: unknown[]
  const?: unknown
  anyOf?: Schema[]
  oneOf?: Schema[]
  allOf?: Schema[]
  $ref?: string
  $defs?: Record<string, Schema>
  properties?: Record<string, Schema>
  required?: string[]
  items?: Schema
  additionalProperties?: boolean | Schema
  propertyNames?: Schema
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  exclusiveMaximum?: number
  minLength?: number
  maxLength?: number
  minItems?: number
  maxItems?: number
  pattern?: string
  format?: string
  writeOnly?: boolean
  discriminator?: { propertyName: string }
  "x-source"?: Source
  /** The values of `enum` are offered; others may be written. */
  "x-open"?: boolean
  "x-labels"?: Record<string, string>
  "x-to"?: string[]
  "x-when"?: Record<string, unknown[]>
}

/** Choices that a connected app lists: once what they depend on is filled in. */
export type Source = { depends: string[]; open: boolean; search: boolean }

export type Kind =
  | "text"
  | "secret"
  | "number"
  | "boolean"
  | "choice"
  | "date"
  | "datetime"
  | "schedule"
  | "time-zone"
  | "list"
  | "mapping"
  | "group"
  | "variants"
  | "json"

export type Variant = { tag: string; title: string; description: string; fields: Control[] }

/** A field as it is filled in: derived from its schema, and knowing nothing of what it is for. */
export type Control = {
  name: string
  title: string
  description: string
  required: boolean
  kind: Kind
  /** The default, as JSON; undefined where there is none. */
  initial?: unknown
  /** Of a choice: values as JSON text. */
  choices?: { value: string; label: string }[]
  source?: Source
  /** Of a mapping's side, the name by which its choices are asked for. */
  sourceName?: string
  integer?: boolean
  /** Fractions may be sent as text, so that no digit is lost. */
  exact?: boolean
  least?: number
  most?: number
  above?: number
  below?: number
  shortest?: number
  longest?: number
  pattern?: string
  item?: Control
  key?: Control
  value?: Control
  fields?: Control[]
  tagName?: string
  variants?: Variant[]
  /** The fields that show it, each with the values, as they are typed, of which it has one. */
  when?: Record<string, string[]>
}

/** What is being filled in: texts as they are typed, so that nothing is lost between. */
export type Raw = string | boolean | Raw[] | { [name: string]: Raw }
export type Raws = Record<string, Raw>

export type Wrong =
  | {
      code: "missing" | "number" | "integer" | "schedule" | "date" | "url" | "email" | "twice"
    }
  | { code: "least" | "most" | "above" | "below" | "shortest" | "longest"; bound: number }
  | { code: "pattern"; pattern: string }
  | { code: "json"; fault: string }

const WORDS: Record<string, string> = {
  url: "URL",
  id: "ID",
  api: "API",
  http: "HTTP",
  uri: "URI",
  json: "JSON",
}

/** A name in words: `base_url` is "Base URL". */
export function words(name: string): string {
  const text = name
    .replace(/([a-z])([A-Z])/g, "$1 $2")
    .split(/[\s_]+/)
    .map((each) => WORDS[each.toLowerCase()] ?? each.toLowerCase())
    .join(" ")
  return text.charAt(0).toUpperCase() + text.slice(1)
}

const isGenerated = (title: string, name: string) =>
  title.toLowerCase().replace(/\s/g, "") === name.toLowerCase().replace(/_/g, "")

/** Resolve references, which are noted in `seen`, and take `null` out of a union: what remains. */
function plain(schema: Schema, defs: Record<string, Schema>, seen: string[] = []): Schema {
  let found = schema
  for (let depth = 0; depth < 16; depth++) {
    const { $ref, allOf, anyOf, ...rest } = found
    if ($ref !== undefined) {
      const name = $ref.replace("#/$defs/", "")
      seen.push(name)
      found = { ...defs[name], ...rest }
    } else if (allOf?.length === 1) {
      found = { ...allOf[0], ...rest }
    } else if (anyOf !== undefined) {
      const some = anyOf.filter((each) => each.type !== "null")
      if (some.length === anyOf.length) return found
      found = some.length === 1 ? { ...some[0], ...rest } : { ...rest, anyOf: some }
      if (some.length !== 1) return found
    } else {
      return found
    }
  }
  return found
}

/** Return definitions in which these may be anything: a schema that has itself within is no form there. */
function closed(defs: Record<string, Schema>, names: readonly string[]): Record<string, Schema> {
  if (names.length === 0) return defs
  const open = names.map((name) => {
    const { title, description } = defs[name] ?? {}
    return [name, { ...(title && { title }), ...(description && { description }) }] as const
  })
  return { ...defs, ...Object.fromEntries(open) }
}

function isNumeric(schema: Schema): boolean {
  return schema.type === "number" || schema.type === "integer"
}

/** Derive the field of a schema. */
export function controlOf(
  name: string,
  whole: Schema,
  required: boolean,
  outer: Record<string, Schema> = whole.$defs ?? {},
): Control {
  const seen: string[] = []
  const schema = plain(whole, outer, seen)
  const defs = closed(outer, seen)
  const title =
    schema.title === undefined || isGenerated(schema.title, name) ? words(name) : schema.title
  const made: Control = {
    name,
    title,
    description: schema.description ?? "",
    required,
    kind: "json",
  }
  if (schema.default !== undefined && schema.default !== null) made.initial = schema.default
  const source = schema["x-source"]
  if (source !== undefined) made.source = source
  const when = Object.entries(schema["x-when"] ?? {})
  if (when.length > 0)
    made.when = Object.fromEntries(when.map(([other, some]) => [other, some.map(plainText)]))
  const labels = schema["x-labels"] ?? {}
  const values = schema.enum ?? (schema.const === undefined ? undefined : [schema.const])
  const numeric = isNumeric(schema) ? schema : schema.anyOf?.find(isNumeric)
  if (values !== undefined || (source !== undefined && schema.type !== "array")) {
    made.kind = "choice"
    made.choices = (values ?? []).map((each) => ({
      value: JSON.stringify(each),
      label: labels[String(each)] ?? String(each),
    }))
    return made
  }
  const tagged = tagOf(schema, defs)
  if (tagged !== null) {
    made.kind = "variants"
    made.tagName = tagged.name
    made.variants = tagged.some.map(([tag, each, refs]) =>
      variantOf(tag, each, tagged.name, closed(defs, refs)),
    )
    return made
  }
  if (numeric !== undefined) {
    made.kind = "number"
    made.integer = numeric.type === "integer"
    made.exact = schema.anyOf?.some((each) => each.type === "string") === true
    put(made, "least", numeric.minimum)
    put(made, "most", numeric.maximum)
    put(made, "above", numeric.exclusiveMinimum)
    put(made, "below", numeric.exclusiveMaximum)
    return made
  }
  if (schema.type === "boolean") return { ...made, kind: "boolean" }
  if (schema.type === "string") return textual(made, schema)
  if (schema.type === "array" && schema.items !== undefined) {
    const item = controlOf(name, { ...schema.items }, true, defs)
    item.description = ""
    if (source !== undefined) {
      delete made.source
      Object.assign(item, { kind: "choice", choices: item.choices ?? [], source })
    }
    put(made, "shortest", schema.minItems)
    put(made, "longest", schema.maxItems)
    return item.kind === "json" ? made : { ...made, kind: "list", item }
  }
  if (schema.type === "object" && schema.properties !== undefined) {
    return { ...made, kind: "group", fields: controlsOf(schema, defs) }
  }
  const side = schema.additionalProperties
  if (schema.type === "object" && typeof side === "object") {
    const key = controlOf(`${name}.of`, schema.propertyNames ?? { type: "string" }, true, defs)
    const to = schema["x-to"]
    const value = controlOf(
      `${name}.to`,
      to === undefined ? side : { type: "string", enum: to },
      true,
      defs,
    )
    if (value.kind !== "json" && value.kind !== "group") {
      return { ...made, kind: "mapping", key, value }
    }
  }
  return made
}

function put<Name extends keyof Control>(to: Control, name: Name, value: Control[Name]): void {
  if (value !== undefined) to[name] = value
}

function textual(made: Control, schema: Schema): Control {
  const formats: Record<string, Kind> = {
    password: "secret",
    date: "date",
    "date-time": "datetime",
    cron: "schedule",
    "time-zone": "time-zone",
  }
  made.kind = schema.writeOnly === true ? "secret" : (formats[schema.format ?? ""] ?? "text")
  put(made, "shortest", schema.minLength)
  put(made, "longest", schema.maxLength)
  put(made, "pattern", schema.pattern)
  return made
}

type Tagged = { name: string; some: [tag: string, schema: Schema, refs: string[]][] }

/** The member that tells the schemas of a union apart, with the value that each has of it. */
function tagOf(schema: Schema, defs: Record<string, Schema>): Tagged | null {
  const found = (schema.oneOf ?? schema.anyOf ?? []).map((each) => {
    const refs: string[] = []
    return [plain(each, defs, refs), refs] as const
  })
  const some = found.map(([each]) => each)
  if (some.length === 0 || some.some((each) => each.properties === undefined)) return null
  const name =
    schema.discriminator?.propertyName ??
    Object.entries(some[0]?.properties ?? {}).find(([, each]) => each.const !== undefined)?.[0]
  if (name === undefined) return null
  return {
    name,
    some: found.map(([each, refs]) => [tagText(each.properties?.[name]?.const), each, refs]),
  }
}

function variantOf(
  tag: string,
  schema: Schema,
  tagName: string,
  defs: Record<string, Schema>,
): Variant {
  const fields = controlsOf(schema, defs).filter((each) => each.name !== tagName)
  const description = (schema.description ?? "").split("\n\n")[0] ?? ""
  // HubSpotSignIn is no word of ours: the form says of what app it is.
  const title = words((schema.title ?? tag).replace(/^\w+(?=SignIn$)/, ""))
  return { tag, title, description, fields }
}

/** Derive the fields of an object's schema, in their order. */
export function controlsOf(
  schema: Schema,
  defs: Record<string, Schema> = schema.$defs ?? {},
): Control[] {
  const required = new Set(schema.required)
  return Object.entries(schema.properties ?? {}).map(([name, each]) =>
    controlOf(name, each, required.has(name), defs),
  )
}

/** Return what is shown of a value at first: the value as text, else the default. */
export function rawOf(control: Control, value?: unknown): Raw {
  const given = value === undefined || value === null ? control.initial : value
  switch (control.kind) {
    case "boolean":
      return given === true
    case "choice":
      return given === undefined ? onlyChoice(control) : asText(given)
    case "list":
      return Array.isArray(given) && control.item !== undefined
        ? given.map((each) => rawOf(control.item as Control, each))
        : []
    case "mapping":
      return given === undefined
        ? []
        : members(given).map(([key, each]) => [
            rawOf(control.key as Control, key),
            rawOf(control.value as Control, each),
          ])
    case "group":
      return rawsOf(control.fields ?? [], given)
    case "variants": {
      const tag = tagIn(control, given as Raws | undefined)
      const chosen = variantFor(control, tag)
      if (chosen === undefined) return {}
      return { [control.tagName ?? ""]: chosen.tag, ...rawsOf(chosen.fields, given) }
    }
    case "json":
      return given === undefined ? "" : JSON.stringify(given, null, 2)
    case "secret":
      return ""
    default:
      return given === undefined ? "" : plainText(given)
  }
}

/** The value of a field that has to be filled in, and can be filled in by one value alone. */
function onlyChoice({ required, source, choices = [] }: Control): string {
  const [only] = choices
  return required && source === undefined && choices.length === 1 && only !== undefined
    ? only.value
    : ""
}

/** Return whether what was typed, once, is of the kind that a field has now. */
export function fitsRaw(control: Control, raw: unknown): raw is Raw {
  const isMap = typeof raw === "object" && raw !== null && !Array.isArray(raw)
  const members = raw as Record<string, unknown>
  const fit = (fields: readonly Control[]) =>
    isMap &&
    fields.every(({ name, ...each }) => {
      const inner = members[name] // a secret is not stored
      return inner === undefined || fitsRaw({ name, ...each }, inner)
    })
  switch (control.kind) {
    case "boolean":
      return typeof raw === "boolean"
    case "list":
      return Array.isArray(raw) && raw.every((each) => fitsRaw(control.item as Control, each))
    case "mapping":
      return Array.isArray(raw) && raw.every((each) => Array.isArray(each) && each.length === 2)
    case "group":
      return fit(control.fields ?? [])
    case "variants": {
      const tag = isMap ? members[control.tagName ?? ""] : undefined
      const chosen = typeof tag === "string" ? variantFor(control, tag) : undefined
      return chosen === undefined ? isMap && Object.keys(members).length === 0 : fit(chosen.fields)
    }
    default:
      return typeof raw === "string"
  }
}

export function rawsOf(controls: readonly Control[], values?: unknown): Raws {
  const given = (values ?? {}) as Record<string, unknown>
  return Object.fromEntries(controls.map((each) => [each.name, rawOf(each, given[each.name])]))
}

const tagText = (value: unknown): string => (typeof value === "string" ? value : "")

/** The tag of the variant that was chosen. */
const tagIn = (control: Control, held: Raws | undefined): string =>
  tagText(held?.[control.tagName ?? ""])

const plainText = (value: unknown): string =>
  typeof value === "string" ? value : value instanceof Exact ? value.text : JSON.stringify(value)

/** What was typed or chosen in a field that is one text. */
export const typedIn = (raw: Raw | undefined): string => (typeof raw === "string" ? raw : "")

/** The variant of a tag; the first where none is chosen yet. */
export function variantFor(control: Control, tag: string): Variant | undefined {
  return control.variants?.find((each) => each.tag === tag) ?? control.variants?.[0]
}

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/
const INTEGER = /^-?(0|[1-9]\d*)$/
const CRON = /^\S+(\s+\S+){4,5}$/

const trimmed = (raw: Raw | undefined): string => (typeof raw === "string" ? raw.trim() : "")

/** True where nothing was filled in. */
export function isBlank(control: Control, raw: Raw | undefined): boolean {
  if (raw === undefined) return true
  if (control.kind === "boolean") return false
  if (typeof raw === "string") return control.kind === "secret" ? raw === "" : raw.trim() === ""
  return Array.isArray(raw) && raw.length === 0
}

/**
 * Note what is wrong with a field, by path. Secrets of the paths in `kept` are stored already, so they
 * may stay blank.
 */
export function findWrong(
  control: Control,
  raw: Raw | undefined,
  wrong: Map<string, Wrong>,
  kept: ReadonlySet<string> = new Set(),
  path: string = control.name,
): void {
  if (control.kind === "group" || control.kind === "variants") {
    const held = (raw ?? {}) as Raws
    const fields =
      control.kind === "group"
        ? (control.fields ?? [])
        : (variantFor(control, tagIn(control, held))?.fields ?? [])
    if (
      control.kind === "group" &&
      !control.required &&
      fields.every((e) => isBlank(e, held[e.name]))
    )
      return
    for (const each of fields) findWrong(each, held[each.name], wrong, kept, `${path}.${each.name}`)
    return
  }
  if (isBlank(control, raw)) {
    if (
      control.required &&
      control.initial === undefined &&
      !kept.has(path) &&
      !isEmptyable(control)
    )
      wrong.set(path, { code: "missing" })
    return
  }
  const found = wrongOf(control, raw as Raw)
  if (found !== null) wrong.set(path, found)
  if (control.kind === "list" && control.item !== undefined) {
    const { item } = control
    ;(raw as Raw[]).forEach((each, at) => findWrong(item, each, wrong, kept, `${path}.${at}`))
  }
  if (control.kind === "mapping" && control.key !== undefined && control.value !== undefined) {
    const seen = new Set<string>()
    for (const [at, row] of (raw as Raw[][]).entries()) {
      const [key = "", value = ""] = row
      findWrong(control.key, key, wrong, kept, `${path}.${at}.of`)
      findWrong(control.value, value, wrong, kept, `${path}.${at}.to`)
      if (seen.has(trimmed(key))) wrong.set(`${path}.${at}.of`, { code: "twice" })
      seen.add(trimmed(key))
    }
  }
}

/** Return the names of the fields that are not shown, by what others hold (`halflap/sdk/condition.py`). */
export function hiddenIn(controls: readonly Control[], raws: Raws): Set<string> {
  const byName = new Map(controls.map((each) => [each.name, each]))
  const isShown = (control: Control, below: readonly string[]): boolean =>
    Object.entries(control.when ?? {}).every(([name, wanted]) => {
      const other = byName.get(name)
      if (other === undefined) return true // of another form: the server looks
      if (below.includes(name) || !isShown(other, [...below, name])) return false
      return heldIn(other, raws[name]).some((each) => wanted.includes(each))
    })
  const gone = controls.filter((each) => !isShown(each, [each.name]))
  return new Set(gone.map((each) => each.name))
}

function heldIn(control: Control, raw: Raw | undefined): string[] {
  if (control.kind === "boolean") return [String(raw === true)]
  if (control.kind === "list") {
    return ((raw ?? []) as Raw[]).flatMap((each) => heldIn(control.item as Control, each))
  }
  const text = isBlank(control, raw) ? "" : trimmed(raw)
  if (text === "") return control.initial === undefined ? [] : [plainText(control.initial)]
  return [control.kind === "choice" ? plainText(JSON.parse(text)) : text]
}

const isEmptyable = ({ kind, shortest }: Control) =>
  (kind === "list" || kind === "mapping") && (shortest ?? 0) === 0

function wrongOf(control: Control, raw: Raw): Wrong | null {
  const text = trimmed(raw)
  switch (control.kind) {
    case "number": {
      if (!NUMBER.test(text)) return { code: "number" }
      if (control.integer === true && !INTEGER.test(text)) return { code: "integer" }
      const value = Number(text)
      if (control.least !== undefined && value < control.least)
        return { code: "least", bound: control.least }
      if (control.most !== undefined && value > control.most)
        return { code: "most", bound: control.most }
      if (control.above !== undefined && value <= control.above)
        return { code: "above", bound: control.above }
      if (control.below !== undefined && value >= control.below)
        return { code: "below", bound: control.below }
      return null
    }
    case "schedule":
      return CRON.test(text) ? null : { code: "schedule" }
    case "date":
    case "datetime":
      return Number.isNaN(Date.parse(text)) ? { code: "date" } : null
    case "json": {
      const fault = faultOf(text)
      return fault === null ? null : { code: "json", fault }
    }
    case "text":
    case "secret":
      return wrongText(control, typeof raw === "string" ? raw : "")
    case "list":
    case "mapping": {
      const { length } = raw as Raw[]
      if (control.shortest !== undefined && length < control.shortest)
        return { code: "shortest", bound: control.shortest }
      if (control.longest !== undefined && length > control.longest)
        return { code: "longest", bound: control.longest }
      return null
    }
    default:
      return null
  }
}

function wrongText({ shortest, longest, pattern }: Control, text: string): Wrong | null {
  const length = Array.from(text).length
  if (shortest !== undefined && length < shortest) return { code: "shortest", bound: shortest }
  if (longest !== undefined && length > longest) return { code: "longest", bound: longest }
  if (pattern === undefined || fits(pattern, text)) return null
  if (pattern.startsWith("^https?://")) return { code: "url" }
  return pattern.includes("@") ? { code: "email" } : { code: "pattern", pattern }
}

function fits(pattern: string, text: string): boolean {
  try {
    return new RegExp(pattern, "u").test(text)
  } catch {
    return true // not one of JavaScript's: the server looks
  }
}

/** How a form is sent: `clear` says of what is left blank that it is to be cleared. */
export type Sending = { clear?: boolean; kept?: ReadonlySet<string> }

/** Return a field as JSON text, with all its digits; undefined where it is left out. */
export function textOf(
  control: Control,
  raw: Raw | undefined,
  sending: Sending = {},
  path: string = control.name,
): string | undefined {
  if (control.kind === "group" || control.kind === "variants") {
    const held = (raw ?? {}) as Raws
    if (control.kind === "group") {
      const inner = textsOf(control.fields ?? [], held, sending, `${path}.`)
      return inner === "{}" && !control.required ? undefined : inner
    }
    const chosen = variantFor(control, tagIn(control, held))
    if (chosen === undefined) return undefined
    const inner = textsOf(chosen.fields, held, sending, `${path}.`)
    const tag = `${JSON.stringify(control.tagName)}:${JSON.stringify(chosen.tag)}`
    return inner === "{}" ? `{${tag}}` : `{${tag},${inner.slice(1)}`
  }
  if (raw === undefined || isBlank(control, raw)) {
    if (control.kind === "list") return "[]"
    if (control.kind === "mapping") return "{}"
    return sending.clear === true && control.kind !== "secret" ? "null" : undefined
  }
  const text = trimmed(raw)
  switch (control.kind) {
    case "boolean":
      return raw === true ? "true" : "false"
    case "number":
      return control.exact === true && !INTEGER.test(text) && String(Number(text)) !== text
        ? JSON.stringify(text)
        : text
    case "choice":
    case "json":
      return text
    case "list":
      return `[${(raw as Raw[]).map((each) => textOf(control.item as Control, each) ?? "null").join(",")}]`
    case "mapping": {
      const rows = (raw as Raw[][]).map(([key = "", value = ""]) => {
        const name = textOf(control.key as Control, key) ?? '""'
        return `${name.startsWith('"') ? name : JSON.stringify(name)}:${textOf(control.value as Control, value) ?? "null"}`
      })
      return `{${rows.join(",")}}`
    }
    case "text":
    case "secret":
      return JSON.stringify(raw)
    default:
      return JSON.stringify(text)
  }
}

/** Return fields as the text of a JSON object. */
export function textsOf(
  controls: readonly Control[],
  raws: Raws,
  sending: Sending = {},
  prefix = "",
): string {
  const parts = controls.flatMap((each) => {
    const text = textOf(each, raws[each.name], sending, `${prefix}${each.name}`)
    return text === undefined ? [] : [`${JSON.stringify(each.name)}:${text}`]
  })
  return `{${parts.join(",")}}`
}

/** Return what may be stored of a form in the browser: all but its secrets. */
export function withoutSecrets(controls: readonly Control[], raws: Raws): Raws {
  const found: Raws = {}
  for (const each of controls) {
    const raw = raws[each.name]
    if (raw === undefined || each.kind === "secret") continue
    if (each.kind === "group") found[each.name] = withoutSecrets(each.fields ?? [], raw as Raws)
    else if (each.kind === "variants") {
      const held = raw as Raws
      const tag = tagIn(each, held)
      found[each.name] = {
        [each.tagName ?? ""]: tag,
        ...withoutSecrets(variantFor(each, tag)?.fields ?? [], held),
      }
    } else found[each.name] = raw
  }
  return found
}

/** Bring messages of the API to the fields that they are about; those of none are under "". */
export function placed(
  fields: Readonly<Record<string, string>>,
  controls: readonly Control[],
  raws: Raws,
): Map<string, string> {
  const paths = new Set<string>()
  const walk = (some: readonly Control[], held: Raws, prefix: string) => {
    for (const each of some) {
      const path = `${prefix}${each.name}`
      paths.add(path)
      const inner = held[each.name]
      if (each.kind === "group") walk(each.fields ?? [], (inner ?? {}) as Raws, `${path}.`)
      if (each.kind === "variants") {
        const own = (inner ?? {}) as Raws
        const tag = tagIn(each, own)
        walk(variantFor(each, tag)?.fields ?? [], own, `${path}.`)
      }
      if (each.kind === "list") (inner as Raw[]).forEach((_, at) => paths.add(`${path}.${at}`))
    }
  }
  walk(controls, raws, "")
  const found = new Map<string, string>()
  for (const [name, message] of Object.entries(fields)) {
    let path = name
    while (path !== "" && !paths.has(path)) path = path.slice(0, Math.max(0, path.lastIndexOf(".")))
    found.set(path, found.has(path) ? `${found.get(path)}; ${message}` : message)
  }
  return found
}
