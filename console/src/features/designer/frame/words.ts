import type { MessageDescriptor } from "@lingui/core"
import { msg, t } from "@lingui/core/macro"
import { i18n } from "~/phrases"
import type { NodeBlock, OutlineNode } from "../draft/types"

/** Return what people read of a step: its title, or what its kind is called. */
export function titleOf(node: OutlineNode): string {
  if (node.title != null && node.title !== "") return node.title
  if (node.kind === "action") return actionOf(node)
  return kindTitle(node.kind)
}

function actionOf(node: OutlineNode): string {
  const action = node.fields["action"]
  return typeof action === "string" && action !== "" ? action : t`Action`
}

const KINDS: Record<string, MessageDescriptor> = {
  action: msg`Action`,
  if: msg`Branch`,
  switch: msg`Branch by value`,
  for: msg`Loop`,
  while: msg`Loop`,
  try: msg`Try`,
  set: msg`Set variables`,
  code: msg`Code`,
  call: msg`Call a flow`,
  sleep: msg`Wait for a time`,
  wait: msg`Wait for an answer`,
  links: msg`Links for an answer`,
  state: msg`Stored value`,
  paired: msg`Look a pair up`,
  pair: msg`Pair records`,
  unpair: msg`Unpair records`,
  log: msg`Log`,
  break: msg`Leave the loop`,
  continue: msg`Go on with the next item`,
  stop: msg`Stop`,
  return: msg`Stop`,
  continue_with: msg`Go on in a new execution`,
  throw: msg`Fail`,
  group: msg`Function`,
  result: msg`Result of a flow`,
  route: msg`Route`,
  unknown: msg`Not finished`,
}

/** Return what people call a kind of step. */
export function kindTitle(kind: string): string {
  return wordOf(KINDS, kind)
}

export function blockTitle(block: NodeBlock): string {
  return blockWords(block.title ?? String(block.path.at(-1)))
}

const BLOCKS: Record<string, MessageDescriptor> = {
  then: msg`Then`,
  else: msg`Else`,
  do: msg`For each`,
  try: msg`Try`,
  catch: msg`If it fails`,
  default: msg`Otherwise`,
  code: msg`Calls`,
}

/** Return what people call a block of steps. */
export function blockWords(name: string): string {
  return wordOf(BLOCKS, name)
}

function wordOf(words: Record<string, MessageDescriptor>, name: string): string {
  const found = Object.hasOwn(words, name) ? words[name] : undefined
  return found === undefined ? name : i18n._(found)
}
