import { useMemo, useState } from "react"
import type { FlowOutline, OutlineNode } from "../draft/types"
import { walked, type Way } from "../tree/walk"
import { Canvas } from "./canvas"

const WAYS: Record<string, Way> = {
  ArrowUp: "up",
  ArrowDown: "down",
  ArrowLeft: "left",
  ArrowRight: "right",
}

/** A flow of a version, in YAML or Python, drawn to be looked at. */
export function FlowDrawing({ flow }: { flow: FlowOutline }) {
  const drawn = useMemo(() => ({ ...flow, steps: withKeys(flow.steps) }), [flow])
  const [selected, setSelected] = useState<string | null>(null)
  const walk = (event: React.KeyboardEvent) => {
    const way = WAYS[event.key]
    if (way === undefined || event.altKey || event.metaKey || event.ctrlKey) return
    event.preventDefault()
    const next = walked(drawn, selected, way)
    // An empty branch is no place to stop at: nothing can be put there.
    if (next !== null && !next.includes("]/")) setSelected(next)
  }
  return (
    <div className="flex h-full" onKeyDown={walk}>
      <Canvas flow={drawn} selected={selected} onSelect={setSelected} />
    </div>
  )
}

/** Steps of a version have no keys: their addresses do not change. */
function withKeys(nodes: readonly OutlineNode[]): OutlineNode[] {
  return nodes.map((node) => ({
    ...node,
    key: JSON.stringify(node.path),
    blocks: node.blocks.map((block) => ({ ...block, nodes: withKeys(block.nodes) })),
  }))
}
