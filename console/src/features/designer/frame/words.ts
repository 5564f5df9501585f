import { t } from "@lingui/core/macro"
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

export function kindTitle(kind: string): string {
  const words: Record<string, string> = {
    action: t`Action`,
    if: t`Branch`,
    switch: t`Branch by value`,
    for: t`Loop`,
    while: t`Loop`,
    try: t`Try`,
    set: t`Set variables`,
    code: t`Code`,
    call: t`Call a flow`,
    sleep: t`Wait for a time`,
    wait: t`Wait for an answer`,
    links: t`Links for an answer`,
    state: t`Stored value`,
    paired: t`Look a pair up`,
    pair: t`Pair records`,
    unpair: t`Unpair records`,
    log: t`Log`,
    break: t`Leave the loop`,
    continue: t`Go on with the next item`,
    stop: t`Stop`,
    return: t`Stop`,
    continue_with: t`Go on in a new execution`,
    throw: t`Fail`,
    group: t`Function`,
    result: t`Result of a flow`,
    route: t`Route`,
    unknown: t`Not finished`,
  }
  return words[kind] ?? kind
}

export function blockTitle(block: NodeBlock): string {
  return blockWords(block.title ?? String(block.path.at(-1)))
}

export function blockWords(name: string): string {
  const words: Record<string, string> = {
    then: t`Then`,
    else: t`Else`,
    do: t`For each`,
    try: t`Try`,
    catch: t`If it fails`,
    default: t`Otherwise`,
    code: t`Calls`,
  }
  return words[name] ?? name
}
