import type { OutlineNode } from "../draft/types"
import { Digits } from "../draft/digits"

const MOST = 90

/** Return a value of a document as one short line: an expression without its `=`. */
export function short(value: unknown): string {
  if (typeof value === "string") return value.replace(/^=\s*/, "").replace(/\s+/g, " ").trim()
  if (value === null || value === undefined) return "null"
  if (value instanceof Digits) return value.text
  if (typeof value === "number" || typeof value === "boolean") return String(value)
  if (typeof value !== "object") return ""
  if (Array.isArray(value)) return value.map(short).join(", ")
  return Object.entries(value)
    .map(([name, each]) => `${name}: ${short(each)}`)
    .join(" · ")
}

/** Return in a line what a step says, beside its title. */
export function summaryOf(node: OutlineNode): string {
  const text = lineOf(node)
  return text.length > MOST ? `${text.slice(0, MOST - 1)}…` : text
}

function lineOf({ kind, fields }: OutlineNode): string {
  const say = (...names: string[]) =>
    names
      .filter((name) => fields[name] !== undefined)
      .map((name) => short(fields[name]))
      .filter((each) => each !== "")
      .join(" · ")
  switch (kind) {
    case "action":
      return say("with")
    case "for":
      return `${short(fields["for"])} in ${short(fields["in"])}${
        fields["where"] === undefined ? "" : ` where ${short(fields["where"])}`
      }`
    case "call":
      return say("call", "event")
    case "code":
      return short(fields["code"])
    case "state":
      return say("state", "key")
    case "paired":
    case "pair":
    case "unpair":
      return say(kind, "with")
    case "links":
      return say("links", "choices")
    case "wait":
      return say("wait", "timeout")
    case "stop":
    case "break":
      return fields[kind] === true ? "" : say(kind)
    case "try":
      return ""
    default:
      return fields[kind] === undefined ? say(...Object.keys(fields)) : say(kind)
  }
}
