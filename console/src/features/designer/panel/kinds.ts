import type { Schema } from "~/features/forms/schema"
import { labelled, type Shape, shapeOf } from "../fields/shape"

/** A field that a kind of step, or a flow, may have. */
export type KindField = {
  name: string
  label: string
  hint: string
  required: boolean
  shape: Shape
  /** It is true or false, and edited in rows. */
  condition: boolean
  /** Rarely wanted. */
  rare: boolean
}

const CONDITIONS = new Set(["if", "where", "filter", "when"])
const RARE = new Set([
  ...["note", "retry", "timeout", "on_failure", "answers", "connection", "parallel", "key"],
  ...["on_timeout", "scope", "expect", "max_age", "keep", "order", "pairs", "schema", "sample"],
  ...["description", "shared", "sender", "all", "level"],
])
/** What has an editor of its own, or stands on the drawing. */
const OWN = new Set(["title", "id", "then", "else", "cases", "default", "do", "try", "catch"])

/** Return the definition of a kind of step in the schema of documents. */
export function definitionOf(document: Schema, kind: string): Schema {
  const defs = document.$defs ?? {}
  const named: Record<string, string> = {
    flow: "FlowPart",
    preprocess: "PreprocessPart",
    route: "RoutePart",
  }
  const known = Object.hasOwn(named, kind) ? named[kind] : undefined
  if (known !== undefined) return defs[known] ?? {}
  const found = Object.entries(defs).find(
    ([name, each]) => /Step(Model)?$/.test(name) && each.required?.includes(kind) === true,
  )
  return found?.[1] ?? {}
}

/** Return the fields of a kind of step, in the order of its definition. */
export function fieldsOf(document: Schema, kind: string): KindField[] {
  const definition = definitionOf(document, kind)
  const required = new Set(definition.required)
  const isFlow = kind === "flow" || kind === "preprocess"
  return Object.entries(definition.properties ?? {}).flatMap(([name, each]) => {
    const own = OWN.has(name) && !(kind === "state" && name === "default")
    if (own || (isFlow && (name === "steps" || name === "routes"))) return []
    const rare = RARE.has(name) && !required.has(name) && !(kind === "wait" && name === "timeout")
    return [
      {
        name,
        ...labelled(name, each, document.$defs),
        required: required.has(name),
        shape: shapeOf(each, false, document.$defs),
        condition: CONDITIONS.has(name),
        rare,
      },
    ]
  })
}

/** Return true of a kind whose result has a name. */
export function givesResult(document: Schema, kind: string): boolean {
  return definitionOf(document, kind).properties?.["id"] !== undefined
}

/** The order in which the members of a step are written. */
export function orderOf(document: Schema, kind: string): string[] {
  const names = Object.keys(definitionOf(document, kind).properties ?? {})
  if (kind === "flow" || kind === "preprocess") return names
  const rest = names.filter((each) => !["id", "title", "note", kind].includes(each))
  return ["id", kind, "title", "note", ...rest]
}
