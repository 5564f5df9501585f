import type { FlowOutline } from "../draft/types"
import { spotsIn } from "../tree/walk"

/** Return the key of the innermost step that stands at a line of the text. */
export function stepAtLine(flows: readonly FlowOutline[], line: number): string | null {
  let found: string | null = null
  for (const flow of flows) {
    if (line < flow.place.line || line > flow.place.end_line) continue
    for (const { node } of spotsIn(flow)) {
      const within = node.place.line <= line && line <= node.place.end_line
      if (within) found = node.key ?? found
    }
  }
  return found
}
