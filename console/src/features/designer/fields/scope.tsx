import { keepPreviousData, useQuery } from "@tanstack/react-query"
import { createContext, type ReactNode, use, useMemo, useState } from "react"
import { type DataNode, isOpen, lookUp, treeOf } from "../data/tree"
import type { DraftHandle } from "../draft/handle"
import type { DraftFinding, Path } from "../draft/types"
import { useSamples } from "../run/samples"
import type { Json } from "./model"

/** What the fields of a step share: the draft, the step's address, and the values in scope there. */
export type Fields = {
  draft: DraftHandle
  path: Path
  data: readonly DataNode[]
  /** Since which revision the names in scope, with their samples, are as they are. */
  scopedAt: number
  /** The samples by name, to evaluate with. */
  samples: Readonly<Record<string, Json>>
  /** Step titles by the names that they give. */
  sources: ReadonlyMap<string, string>
  findings: readonly DraftFinding[]
  /** The address of the field to be focused. */
  focused: Path | null
}

const FieldsContext = createContext<Fields | null>(null)

export function useFields(): Fields {
  const found = use(FieldsContext)
  if (found === null) throw new Error("a field stands in a panel")
  return found
}

/** Where the fields of a step stand; they show what the latest run gave. */
export function FieldsOf({
  draft,
  path,
  focused = null,
  children,
}: {
  draft: DraftHandle
  path: Path
  focused?: Path | null
  children: ReactNode
}) {
  const { data: scope } = useScope(draft, path)
  const samples = useSamples(draft, path, scope)
  const text = useMemo(() => JSON.stringify(scope), [scope])
  const [known, setKnown] = useState({ text, at: draft.revision })
  if (text !== known.text) setKnown({ text, at: draft.revision })
  const { at: scopedAt } = known
  const value = useMemo((): Fields => {
    const data = treeOf(scope ?? [], samples)
    const sources = new Map<string, string>()
    for (const each of scope ?? []) {
      if (each.given !== null) sources.set(each.name, titleAt(draft, each.given))
    }
    return { draft, path, data, scopedAt, samples, sources, findings: draft.findings, focused }
  }, [draft, path, scope, scopedAt, samples, focused])
  return <FieldsContext value={value}>{children}</FieldsContext>
}

/** The names that expressions see at an address, as the draft is now. */
export function useScope(draft: DraftHandle, path: Path) {
  return useQuery({
    queryKey: ["draft", draft.id, "scope", path, draft.revision],
    queryFn: () => draft.query.scope(path),
    placeholderData: keepPreviousData,
    staleTime: Infinity,
    retry: false,
  })
}

function titleAt(draft: DraftHandle, path: Path): string {
  let title = ""
  const walk = (nodes: DraftHandle["flows"][number]["steps"]) => {
    for (const node of nodes) {
      if (!node.path.every((each, at) => each === path[at])) continue
      title = node.title ?? ""
      for (const block of node.blocks) walk(block.nodes)
    }
  }
  for (const flow of draft.flows) walk(flow.steps)
  return title
}

/** What a path is called where it is shown: its source and its own name. */
export function naming(
  { data, sources }: Pick<Fields, "data" | "sources">,
  path: string,
): { name: string; source: string; node: DataNode | undefined; known: boolean } {
  const node = lookUp(data, path)
  const first = /^(?:`[^`]*`|[^.[`]+)/.exec(path)?.[0].replaceAll("`", "") ?? path
  const rest = path.slice(path.startsWith("`") ? first.length + 2 : first.length)
  const name = rest.replace(/^\./, "").replaceAll("`", "")
  return {
    name: name === "" ? first : name,
    source: sources.get(first) || first,
    node,
    known: node !== undefined || data.length === 0 || isOpen(data, path),
  }
}
