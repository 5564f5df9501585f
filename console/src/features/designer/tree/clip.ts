import type { OutlineNode } from "../draft/types"

/** Return steps as YAML, to be pasted elsewhere: as they are written, with the comments above them. */
export function copied(text: string, nodes: readonly OutlineNode[]): string {
  const lines = text.split("\n")
  const written = nodes.map((each) => linesOf(lines, each))
  if (written.every((each) => each !== null)) return written.flat().join("\n") + "\n"
  // In brackets, or not in the text yet: as JSON, which is YAML too.
  return `${JSON.stringify(nodes.map(valueOf), null, 2)}\n`
}

function linesOf(lines: readonly string[], { place }: OutlineNode): string[] | null {
  const first = lines[place.line - 1]
  const indent = place.column - 3
  if (first === undefined || indent < 0) return null
  if (!/^ *- $/.test(first.slice(0, place.column - 1))) return null
  let begin = place.line - 1
  while (
    begin > 0 &&
    lines[begin - 1]?.slice(0, indent).trim() === "" &&
    lines[begin - 1]?.[indent] === "#"
  ) {
    begin--
  }
  return lines.slice(begin, place.end_line).map((each) => each.slice(indent))
}

/** Return a step as the document writes it. */
export function valueOf(node: OutlineNode): Record<string, unknown> {
  const value: Record<string, unknown> = {}
  if (node.id != null) value["id"] = node.id
  if (node.title != null) value["title"] = node.title
  Object.assign(value, node.fields)
  for (const block of node.blocks) {
    const [key, name] = block.path.slice(node.path.length).map(String)
    const steps = block.nodes.map(valueOf)
    if (key === undefined || key === "code" || steps.length === 0) continue
    if (name === undefined) value[key] = steps
    else value[key] = { ...(value[key] as object | undefined), [name]: steps }
  }
  return value
}
