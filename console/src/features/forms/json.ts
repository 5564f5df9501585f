import { type JsonText, parseExact } from "~/api/exact"

/** A number of a JSON text with all its digits, where a number of JavaScript would lose some. */
export class Exact {
  constructor(readonly text: string) {}

  toString(): string {
    return this.text
  }

  toJSON(): number {
    return Number(this.text)
  }
}

/** Parse a JSON object of which the members named may be numbers of any length. */
export function parseMembers(text: string, names: Iterable<string>): Record<string, unknown> {
  const found = parseExact(text, new Set(names)) as Record<string, JsonText | null>
  return Object.fromEntries(
    Object.entries(found).map(([name, each]) => [name, each === null ? null : valueOf(each)]),
  )
}

function valueOf(text: string): unknown {
  if (typeof text !== "string") return text
  if (!/^-?\d/.test(text)) return JSON.parse(text)
  return String(Number(text)) === text ? Number(text) : new Exact(text)
}

/** A value as JSON text. */
export function asText(value: unknown): string {
  return value instanceof Exact ? value.text : JSON.stringify(value)
}

export function members(value: unknown): [string, unknown][] {
  return typeof value === "object" && value !== null ? Object.entries(value) : []
}
