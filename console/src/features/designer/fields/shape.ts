import { controlOf, type Control, type Schema, words } from "~/features/forms/schema"
import { Digits } from "../draft/digits"
import { isExpression, isObject, type Json, textIn } from "./model"

/** How a field is filled in: derived from its schema, and from nothing else. */
export type Shape = {
  kind: "any" | "text" | "number" | "boolean" | "choice" | "date" | "list" | "map" | "object"
  /** Expressions may stand in it. */
  templates: boolean
  /** Of a text, numbers are written as numbers: `30`, or `30s`. */
  numbers?: boolean
  /** Of a text without values in it: no line breaks. */
  control?: Control
  choices?: { value: Json; label: string }[]
  /** Other texts than the choices may be written. */
  open?: true
  /** The connected app lists its values. */
  listed?: true
  item?: Shape
  fields?: { name: string; label: string; hint: string; required: boolean; shape: Shape }[]
}

const ANY: Shape = { kind: "any", templates: true }

/** Return how a value of a schema is filled in; of an input, expressions may stand wherever one may. */
export function shapeOf(
  given: unknown,
  templates: boolean,
  defs: Record<string, Schema> = (given as Schema | null)?.$defs ?? {},
  depth = 0,
): Shape {
  const schema = resolved(given ?? {}, defs)
  const some = [schema, ...(schema.anyOf ?? []), ...(schema.oneOf ?? [])].map((each) =>
    resolved(each, defs),
  )
  const types = new Set(some.flatMap((each) => each.type ?? []))
  types.delete("null")
  const isText = some.find((each) => each.type === "string")
  const takes = templates || isText?.pattern?.includes("^=") === true
  if (isBare(schema)) return ANY
  const parts = types.has("object") || types.has("array")
  if (depth > 6) return ANY
  const control = parts ? undefined : controlOf("", schema, true, defs)
  const listed = some.some((each) => each["x-source"] !== undefined)
  const made = (kind: Shape["kind"], more: Partial<Shape> = {}): Shape => ({
    kind,
    templates: takes,
    ...(listed ? { listed } : {}),
    ...(control === undefined ? {} : { control }),
    ...more,
  })
  if (control?.kind === "choice" && (control.choices ?? []).length > 0) {
    const choices = (control.choices ?? []).map((each) => ({
      value: JSON.parse(each.value) as Json,
      label: each.label,
    }))
    return made("choice", { choices, ...(schema["x-open"] === true ? { open: true } : {}) })
  }
  const numeric = types.has("number") || types.has("integer")
  if (isText !== undefined && numeric && !parts) {
    // A decimal may be a text in JSON, and is a number to people.
    return some.some((each) => each.type === "string" && isDecimal(each))
      ? made("number")
      : { kind: "text", templates: takes, numbers: true }
  }
  if (types.size !== 1) return parts || types.size > 1 ? ANY : made("any")
  if (numeric) return made("number")
  if (types.has("boolean")) return made("boolean")
  if (isText !== undefined) return made(control?.kind === "date" ? "date" : "text")
  const inner = (each: unknown) => shapeOf(each, templates, defs, depth + 1)
  const array = some.find((each) => each.type === "array")
  if (array !== undefined) return made("list", { item: inner(array.items) })
  const object = some.find((each) => each.type === "object") ?? {}
  if (object.properties === undefined) {
    return made("map", { item: inner(object.additionalProperties) })
  }
  const required = new Set(object.required)
  return made("object", {
    fields: Object.entries(object.properties).map(([name, each]) => ({
      name,
      ...labelled(name, each, defs),
      required: required.has(name),
      shape: inner(each),
    })),
  })
}

function resolved(schema: Schema, defs: Record<string, Schema>): Schema {
  let found = schema
  for (let depth = 0; depth < 16 && found.$ref !== undefined; depth++) {
    const { $ref, ...rest } = found
    const name = $ref.slice($ref.lastIndexOf("/") + 1)
    found = { ...(Object.hasOwn(defs, name) ? defs[name] : {}), ...rest }
  }
  const some = found.anyOf?.filter((each) => each.type !== "null")
  if (some?.[0] !== undefined && some.length === 1) {
    const rest = { ...found }
    delete rest.anyOf
    return resolved({ ...some[0], ...rest }, defs)
  }
  return found
}

function isBare(schema: Schema): boolean {
  const { type, anyOf, oneOf, allOf, enum: some, properties, items } = schema
  return (
    [type, anyOf, oneOf, allOf, some, schema.const, properties, items].every(
      (each) => each === undefined,
    ) && schema["x-source"] === undefined
  )
}

const isDecimal = (schema: Schema) =>
  schema.pattern?.includes("\\d") === true && !schema.pattern.includes("^=")

/** What a field is called, and what its help says. */
export function labelled(
  name: string,
  given: unknown,
  defs: Record<string, Schema> = {},
): { label: string; hint: string } {
  const own = (given ?? {}) as Schema
  const title = own.title ?? ""
  const plain = title.toLowerCase().replace(/\s/g, "") === name.toLowerCase().replace(/_/g, "")
  const hint = own.description ?? resolved(own, defs).description ?? ""
  return { label: title === "" || plain ? words(name) : title, hint }
}

/** True where the value can be filled in by the field's own control. */
export function fits(shape: Shape, value: Json | undefined): boolean {
  if (value === undefined) return true
  if (isExpression(value)) return false
  switch (shape.kind) {
    case "any":
      return !Array.isArray(value) && !isObject(value)
    case "text":
    case "date":
      return typeof value === "string" || (shape.numbers === true && isNumber(value))
    case "number":
      return isNumber(value) || typeof value === "string"
    case "boolean":
      return typeof value === "boolean"
    case "choice":
      if (shape.open === true) return typeof value === "string"
      return shape.choices?.some((each) => each.value === value) === true
    case "list":
      return Array.isArray(value)
    default:
      return isObject(value)
  }
}

export const isNumber = (value: unknown): value is number | Digits =>
  typeof value === "number" || value instanceof Digits

/** A constant as it is typed in a field. */
export function typedText(value: Json | undefined): string {
  if (value === undefined || value === null) return ""
  return typeof value === "string" ? textIn(value) : isNumber(value) ? String(value) : ""
}

/** A value to begin with. */
export function emptyOf(shape: Shape): Json {
  switch (shape.kind) {
    case "list":
      return []
    case "map":
    case "object":
      return {}
    case "boolean":
      return false
    case "number":
      return 0
    case "choice":
      return shape.choices?.[0]?.value ?? ""
    default:
      return ""
  }
}
