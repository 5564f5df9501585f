import { Digits } from "../draft/digits"
import { parse, type Part, type Parsed, writtenParts } from "./expression"

/** A value as a document has it. */
export type Json = null | boolean | number | string | Digits | Json[] | { [name: string]: Json }

/** True of a text that is an expression: `=x`; `==x` is the text `=x`. */
export function isExpression(value: unknown): value is string {
  return typeof value === "string" && value.startsWith("=") && !value.startsWith("==")
}

/** The text that a value of a document stands for, where it is no expression. */
export const textIn = (value: string): string => (value.startsWith("==") ? value.slice(1) : value)

/** A text as a document has it. */
export const asStored = (text: string): string => (text.startsWith("=") ? `=${text}` : text)

export type Model =
  | { kind: "absent" }
  | { kind: "constant"; value: Json }
  | Exclude<Parsed, { kind: "formula" }>
  | { kind: "formula"; expression: string }
  | { kind: "object"; members: [string, Json][] }
  | { kind: "list"; items: Json[] }

/** Return what edits a value: how it is classed, by its text alone. */
export function modelOf(value: Json | undefined): Model {
  if (value === undefined) return { kind: "absent" }
  if (isExpression(value)) {
    const expression = value.slice(1)
    const parsed = parse(expression)
    return parsed.kind === "formula" ? { kind: "formula", expression } : parsed
  }
  if (typeof value === "string") return { kind: "constant", value: textIn(value) }
  if (Array.isArray(value)) return { kind: "list", items: value }
  if (isObject(value)) return { kind: "object", members: Object.entries(value) }
  return { kind: "constant", value }
}

export function isObject(value: unknown): value is { [name: string]: Json } {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Digits)
  )
}

/** Return the parts of a value that is edited as text with values in it; null where it is none. */
export function partsOf(value: Json | undefined): Part[] | null {
  if (value === undefined) return []
  if (typeof value !== "string") return null
  if (!isExpression(value)) return value === "" ? [] : [{ text: textIn(value) }]
  const parsed = parse(value.slice(1))
  if (parsed.kind === "path") return [{ path: parsed.path }]
  return parsed.kind === "text" ? parsed.parts : null
}

/** Write parts as a document has them: a text, a path, or a text with values in it. */
export function valueOfParts(parts: readonly Part[]): string {
  const merged: Part[] = []
  for (const each of parts) {
    const last = merged.at(-1)
    if ("text" in each && each.text === "") continue
    if ("text" in each && last !== undefined && "text" in last) {
      merged[merged.length - 1] = { text: last.text + each.text }
    } else merged.push(each)
  }
  if (merged.every((each) => "text" in each)) {
    return asStored(merged.map((each) => each.text).join(""))
  }
  return `=${writtenParts(merged)}`
}

const CONSTANT = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?)$/

/** Write what is typed where any value may stand: `5` is a number, `"5"` a text. */
export function valueOfTyped(parts: readonly Part[]): Json {
  const text = valueOfParts(parts)
  const quoted = /^"(.*)"$/s.exec(text)?.[1]
  if (quoted !== undefined && CONSTANT.test(quoted)) return quoted
  if (!CONSTANT.test(text)) return text
  return numberOf(text) ?? (JSON.parse(text) as Json)
}

/** Return what is typed of a value, where any may stand. */
export function typedParts(value: Json | undefined): Part[] {
  if (typeof value !== "string") return value === undefined ? [] : [{ text: plainJson(value) }]
  return CONSTANT.test(value) ? [{ text: `"${value}"` }] : (partsOf(value) ?? [])
}

/** True where two values are written alike. */
export function same(one: Json | undefined, other: Json | undefined): boolean {
  if (one === other) return true
  if (one instanceof Digits) return other instanceof Digits && one.text === other.text
  if (Array.isArray(one)) {
    return (
      Array.isArray(other) &&
      one.length === other.length &&
      one.every((each, at) => same(each, other[at]))
    )
  }
  if (!isObject(one) || !isObject(other)) return false
  const names = Object.keys(one)
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => Object.hasOwn(other, name) && same(one[name], other[name]))
  )
}

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/

/** A number with all its digits; null where the text is none. */
export function numberOf(text: string): number | Digits | null {
  const trimmed = text.trim()
  if (!NUMBER.test(trimmed)) return null
  const plain = Number(trimmed)
  return String(plain) === trimmed ? plain : new Digits(trimmed)
}

/** A value in one line, as people read it. */
export function summary(value: Json | undefined, most = 120): string {
  const text =
    value === undefined ? "" : typeof value === "string" ? textIn(value) : plainJson(value)
  const line = text.replace(/\s+/g, " ").trim()
  return line.length > most ? `${line.slice(0, most - 1)}…` : line
}

export function plainJson(value: Json): string {
  if (value instanceof Digits) return value.text
  if (Array.isArray(value)) return `[${value.map(plainJson).join(", ")}]`
  if (isObject(value)) {
    const members = Object.entries(value)
    return `{${members.map(([name, each]) => `${JSON.stringify(name)}: ${plainJson(each)}`).join(", ")}}`
  }
  return JSON.stringify(value)
}
