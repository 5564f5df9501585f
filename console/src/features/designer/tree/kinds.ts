/** The kinds of steps of a document, each with the keys of its lists of steps. */
export const BLOCKS: Readonly<Record<string, readonly string[]>> = {
  action: [],
  if: ["then", "else"],
  switch: ["cases", "default"],
  for: ["do"],
  try: ["try", "catch"],
  set: [],
  code: [],
  call: [],
  sleep: [],
  links: [],
  wait: [],
  state: [],
  paired: [],
  pair: [],
  unpair: [],
  log: [],
  break: [],
  stop: [],
  continue_with: [],
  throw: [],
}

/** The kinds whose lists of steps stand beside each other, as the branches of a path. */
export const BRANCHING: ReadonlySet<string> = new Set(["if", "switch", "route"])

/** The kinds after which nothing of their list is done. */
export const ENDING: ReadonlySet<string> = new Set([
  "stop",
  "throw",
  "break",
  "continue_with",
  "continue",
  "return",
])

/** Return the kind of a step as a document writes it. */
export function kindOf(value: Readonly<Record<string, unknown>>): string {
  return Object.keys(BLOCKS).find((kind) => kind in value) ?? "unknown"
}

/** What a new step of each kind begins as: what is wanted of it is filled in beside it. */
export function begun(kind: string): Record<string, unknown> {
  const steps = (): unknown[] => []
  switch (kind) {
    case "if":
      return { if: "", then: steps() } // which is an error until it is filled in
    case "switch":
      return { switch: "=event.kind", cases: { a: steps() } }
    case "for":
      return { for: "item", in: "=event.items", do: steps() }
    case "try":
      return { try: steps(), catch: steps() }
    case "set":
      return { set: { name: null } }
    case "code":
      return { code: "return event" }
    case "call":
      return { call: "", event: "=event" }
    case "sleep":
      return { sleep: "1 min" }
    case "links":
      return { id: "links", links: "decision", choices: ["approve", "reject"] }
    case "wait":
      return { wait: "decision", timeout: "1 day" }
    case "state":
      return { id: "stored", state: "get", key: "name" }
    case "paired":
      return { id: "other", paired: "", with: {} }
    case "pair":
      return { pair: "", with: {} }
    case "unpair":
      return { unpair: "", with: {} }
    case "break":
      return { break: true }
    case "stop":
      return { stop: true }
    case "continue_with":
      return { continue_with: "=event" }
    case "throw":
      return { throw: "What went wrong" }
    default:
      return { [kind]: kind === "log" ? "A line for the log" : "" }
  }
}
