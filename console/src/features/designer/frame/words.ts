import type { MessageDescriptor } from "@lingui/core"
import { msg, t } from "@lingui/core/macro"
import { i18n } from "~/phrases"
import type { NodeBlock, OutlineNode } from "../draft/types"
import { kindOf } from "../tree/kinds"

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

/** Return what people call a kind of step. */
export function kindTitle(kind: string): string {
  const found = kindOf(kind)
  return found === undefined ? kind : i18n._(found.title)
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
  const found = Object.hasOwn(BLOCKS, name) ? BLOCKS[name] : undefined
  return found === undefined ? name : i18n._(found)
}
