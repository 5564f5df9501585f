import type { MessageDescriptor } from "@lingui/core"
import { msg } from "@lingui/core/macro"
import {
  ArrowLeftRight,
  ArrowRightFromLine,
  Braces,
  CornerDownRight,
  Database,
  GitBranch,
  Hourglass,
  Link2,
  Link2Off,
  LogOut,
  type LucideIcon,
  MailQuestion,
  OctagonX,
  Repeat,
  ScrollText,
  ShieldAlert,
  Square,
  Timer,
  Variable,
  Workflow,
} from "lucide-react"

type Kind = {
  title: MessageDescriptor
  icon?: LucideIcon
  /** The keys of its lists of steps. */
  blocks?: readonly string[]
  /** Its lists of steps stand beside each other, as the branches of a path. */
  branches?: true
  /** Nothing of its list is done after it. */
  ends?: true
  /** A new one: what is wanted of it is filled in beside it. Only kinds that a document has. */
  begins?: () => Record<string, unknown>
}

/** All kinds of steps: those of documents, in which `call` comes before its own `wait`, and those that
 * only the outline of Python has. */
const KINDS: Readonly<Record<string, Kind>> = {
  action: { title: msg`Action`, begins: () => ({ action: "" }) },
  if: {
    title: msg`Branch`,
    icon: GitBranch,
    blocks: ["then", "else"],
    branches: true,
    begins: () => ({ if: "", then: [] }), // which is an error until it is filled in
  },
  switch: {
    title: msg`Branch by value`,
    icon: GitBranch,
    blocks: ["cases", "default"],
    branches: true,
    begins: () => ({ switch: "=event.kind", cases: { a: [] } }),
  },
  for: {
    title: msg`Loop`,
    icon: Repeat,
    blocks: ["do"],
    begins: () => ({ for: "item", in: "=event.items", do: [] }),
  },
  try: {
    title: msg`Try`,
    icon: ShieldAlert,
    blocks: ["try", "catch"],
    begins: () => ({ try: [], catch: [] }),
  },
  set: { title: msg`Set variables`, icon: Variable, begins: () => ({ set: { name: null } }) },
  code: { title: msg`Code`, icon: Braces, begins: () => ({ code: "return event" }) },
  call: { title: msg`Call a flow`, icon: Workflow, begins: () => ({ call: "", event: "=event" }) },
  sleep: { title: msg`Wait for a time`, icon: Timer, begins: () => ({ sleep: "1 min" }) },
  links: {
    title: msg`Links for an answer`,
    icon: MailQuestion,
    begins: () => ({ id: "links", links: "decision", choices: ["approve", "reject"] }),
  },
  wait: {
    title: msg`Wait for an answer`,
    icon: Hourglass,
    begins: () => ({ wait: "decision", timeout: "1 day" }),
  },
  state: {
    title: msg`Stored value`,
    icon: Database,
    begins: () => ({ id: "stored", state: "get", key: "name" }),
  },
  paired: {
    title: msg`Look a pair up`,
    icon: ArrowLeftRight,
    begins: () => ({ id: "other", paired: "", with: {} }),
  },
  pair: { title: msg`Pair records`, icon: Link2, begins: () => ({ pair: "", with: {} }) },
  unpair: { title: msg`Unpair records`, icon: Link2Off, begins: () => ({ unpair: "", with: {} }) },
  log: { title: msg`Log`, icon: ScrollText, begins: () => ({ log: "A line for the log" }) },
  break: {
    title: msg`Leave the loop`,
    icon: ArrowRightFromLine,
    ends: true,
    begins: () => ({ break: true }),
  },
  stop: { title: msg`Stop`, icon: Square, ends: true, begins: () => ({ stop: true }) },
  continue_with: {
    title: msg`Go on in a new execution`,
    icon: LogOut,
    ends: true,
    begins: () => ({ continue_with: "=event" }),
  },
  throw: {
    title: msg`Fail`,
    icon: OctagonX,
    ends: true,
    begins: () => ({ throw: "What went wrong" }),
  },
  while: { title: msg`Loop`, icon: Repeat },
  continue: { title: msg`Go on with the next item`, icon: CornerDownRight, ends: true },
  return: { title: msg`Stop`, icon: Square, ends: true },
  group: { title: msg`Function`, icon: Workflow },
  result: { title: msg`Result of a flow`, icon: Workflow },
  route: { title: msg`Route`, icon: GitBranch, branches: true },
  unknown: { title: msg`Not finished` },
}

/** Return what is known of a kind of step. */
export function kindOf(name: string): Kind | undefined {
  return Object.hasOwn(KINDS, name) ? KINDS[name] : undefined
}

/** Return the keys of a kind's lists of steps. */
export function blocksOf(name: string): readonly string[] {
  return kindOf(name)?.blocks ?? []
}

/** Return the kind of a step as a document writes it. */
export function kindOfStep(value: Readonly<Record<string, unknown>>): string {
  return Object.keys(KINDS).find((name) => KINDS[name]?.begins && name in value) ?? "unknown"
}

/** What a new step of a kind begins as. */
export function begun(name: string): Record<string, unknown> {
  return kindOf(name)?.begins?.() ?? { [name]: "" }
}
