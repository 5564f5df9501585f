import { parseDigits } from "../draft/digits"
import { isPath, step } from "../fields/expression"
import { isObject, type Json, plainJson, summary } from "../fields/model"

/** What is read of the schema of a value. */
export type ValueSchema = {
  type?: string | string[]
  description?: string
  properties?: Record<string, ValueSchema>
  items?: ValueSchema
  anyOf?: ValueSchema[]
  oneOf?: ValueSchema[]
  allOf?: ValueSchema[]
  $ref?: string
  $defs?: Record<string, ValueSchema>
}

/** A name that expressions see, as the API tells it. */
export type Scoped = {
  name: string
  type: string
  schema: Record<string, unknown> | null
  absent: string
  variable: boolean
  given: (string | number | boolean)[] | null
  sample: string
}

/** A value that can be put into a field. */
export type DataNode = {
  /** As an expression has it: `event.order.id`. */
  path: string
  name: string
  type: string
  description: string
  /** In one line; empty where there is none. */
  sample: string
  value: Json | undefined
  /** Why it may be null. */
  absent: string
  /** It is in a list: the path gives it of each of the items. */
  each: boolean
  branches: boolean
  children: () => DataNode[]
}

const DEEPEST = 12

/** Return the values in scope; `samples` has, by name, what a run gave. */
export function treeOf(
  scope: readonly Scoped[],
  samples: Readonly<Record<string, Json>> = {},
): DataNode[] {
  return scope.flatMap((each) => {
    const path = step(each.name)
    if (path === null) return []
    const made = (parseDigits(each.sample) ?? undefined) as Json | undefined
    const value = Object.hasOwn(samples, each.name) ? samples[each.name] : made
    const schema = (each.schema ?? {}) as ValueSchema
    const node = nodeOf(path, each.name, schema, schema.$defs ?? {}, value, false, 0)
    return [{ ...node, type: each.type || node.type, absent: each.absent }]
  })
}

function nodeOf(
  path: string,
  name: string,
  given: ValueSchema,
  defs: Record<string, ValueSchema>,
  value: Json | undefined,
  each: boolean,
  depth: number,
): DataNode {
  let schema = plain(given, defs)
  let inner = value
  let listed = each
  while (typeOf(schema, inner) === "list" && depth < DEEPEST) {
    listed = true
    schema = plain(schema.items ?? {}, defs)
    inner = Array.isArray(inner) ? inner[0] : undefined
    depth++
  }
  const members = isObject(inner) ? inner : {}
  const names = [...new Set([...Object.keys(schema.properties ?? {}), ...Object.keys(members)])]
  const known = depth < DEEPEST ? names.filter((some) => step(some) !== null) : []
  return {
    path,
    name,
    type: typeOf(plain(given, defs), value),
    description: given.description ?? "",
    sample: summary(value, 60),
    value,
    absent: "",
    each,
    branches: known.length > 0,
    children: () =>
      known.map((some) =>
        nodeOf(
          `${path}.${step(some)}`,
          some,
          schema.properties?.[some] ?? {},
          defs,
          Object.hasOwn(members, some) ? members[some] : undefined,
          listed,
          depth + 1,
        ),
      ),
  }
}

function plain(schema: ValueSchema, defs: Record<string, ValueSchema>): ValueSchema {
  let found = schema
  for (let depth = 0; depth < 16; depth++) {
    const some = (found.anyOf ?? found.oneOf)?.filter((each) => each.type !== "null")
    if (found.$ref !== undefined) {
      const name = found.$ref.slice(found.$ref.lastIndexOf("/") + 1)
      found = (Object.hasOwn(defs, name) ? defs[name] : undefined) ?? {}
    } else if (some?.[0] !== undefined) found = some[0]
    else if (found.allOf?.[0] !== undefined) found = found.allOf[0]
    else return found
  }
  return {}
}

const WORDS: Record<string, string> = {
  string: "text",
  integer: "number",
  number: "number",
  boolean: "yes or no",
  array: "list",
  object: "object",
}

function typeOf(schema: ValueSchema, value: Json | undefined): string {
  const type = Array.isArray(schema.type)
    ? schema.type.find((each) => each !== "null")
    : schema.type
  if (type !== undefined) return WORDS[type] ?? type
  if (schema.properties !== undefined || isObject(value)) return "object"
  if (schema.items !== undefined || Array.isArray(value)) return "list"
  if (typeof value === "string") return "text"
  if (typeof value === "boolean") return "yes or no"
  return value === undefined || value === null ? "" : "number"
}

/** The names that are Halflap's in each flow. */
const AROUND = new Set(["config", "urls", "secrets", "customer", "instance", "execution"])

/** Find values by words of their paths: the one that is spelt out first, then those of few steps. */
export function searched(roots: readonly DataNode[], text: string, most = 60): DataNode[] {
  const words = text
    .toLowerCase()
    .split(/[\s.]+/)
    .filter(Boolean)
  const found: DataNode[] = []
  let queue = [...roots]
  for (let looked = 0; queue.length > 0 && looked < 5_000 && found.length < most;) {
    const next: DataNode[] = []
    for (const node of queue) {
      looked++
      const path = node.path.toLowerCase()
      if (words.every((each) => path.includes(each)) && found.length < most) found.push(node)
      if (looked < 5_000) next.push(...node.children())
    }
    queue = next
  }
  // What the event has comes first: `customer` is rather its own than Halflap's.
  const inEvent = ({ path }: DataNode) => Number(path !== "event" && !path.startsWith("event."))
  found.sort((one, other) => inEvent(one) - inEvent(other))
  const typed = text.trim()
  const exact = found.findIndex(({ path }) => path === typed && !AROUND.has(path))
  if (exact > 0) found.unshift(...found.splice(exact, 1))
  const isNew = exact === -1 && typed.includes(".") && isPath(typed)
  // What is not known to be there may be: it is taken as it was typed, behind what is known.
  if (isNew && isOpen(roots, typed)) found.push(nodeOf(typed, typed, {}, {}, undefined, false, 0))
  return found
}

/** Return the value of a path in the samples; undefined where they have none. */
export function lookUp(roots: readonly DataNode[], path: string): DataNode | undefined {
  const steps = path.match(/`[^`]*`|\[-?\d+\]|[^.[\]`]+/g) ?? []
  let some: readonly DataNode[] = roots
  let found: DataNode | undefined
  for (const each of steps) {
    if (each.startsWith("[")) continue
    const name = each.replaceAll("`", "")
    found = some.find((node) => node.name === name)
    if (found === undefined) return undefined
    some = found.children()
  }
  return found
}

/** True where nothing is known of the fields of what a path leads into. */
export function isOpen(data: readonly DataNode[], path: string): boolean {
  const steps = path.split(".")
  for (let length = steps.length - 1; length > 0; length--) {
    const above = lookUp(data, steps.slice(0, length).join("."))
    if (above !== undefined) return !above.branches
  }
  return false
}

/** A value as it would stand in a text. */
export function asText(value: Json | undefined): string {
  if (value === undefined || value === null) return ""
  return typeof value === "string" ? value : plainJson(value)
}
