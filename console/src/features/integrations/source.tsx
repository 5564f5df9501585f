import { t } from "@lingui/core/macro"
import { useQuery } from "@tanstack/react-query"
import { useEffect, useMemo, useRef, useState } from "react"
import type { Schemas } from "~/api/client"
import { titleOf } from "~/features/execution/tree"
import { cx } from "~/ui/class"
import { CopyButton } from "~/ui/copy"
import { ErrorNotice, Pending } from "~/ui/notice"
import { outlineQuery, versionQuery } from "./queries"

type Node = Schemas["OutlineNode"]
type Row = { key: string; depth: number; title: string; kind: string; file: string; line: number }
type Place = { file: string; line: number }

const MOST_LINES = 5_000

/** The files of a version, to read, with the outline of its flows: a step leads to its line. */
export function Source({ integration, version }: { integration: string; version: string }) {
  const whole = useQuery(versionQuery(integration, version))
  const outline = useQuery(outlineQuery(integration, version))
  const [place, setPlace] = useState<Place | null>(null)
  const rows = useMemo(
    () => (outline.data === undefined ? [] : rowsOf(outline.data)),
    [outline.data],
  )
  if (whole.data === undefined) return <Pending of={whole} />
  const { files } = whole.data
  const paths = Object.keys(files).sort()
  const first = outline.data?.file ?? whole.data.entry
  const file = place?.file ?? (files[first] === undefined ? (paths[0] ?? "") : first)
  const kind = outline.data?.language === "yaml" ? t`A document in YAML.` : t`Code in Python.`
  return (
    <div className="grid min-h-0 gap-3 lg:grid-cols-[minmax(200px,280px)_minmax(0,1fr)]">
      <nav aria-label={t`Outline`} className="flex max-h-[70vh] flex-col gap-3 overflow-auto">
        <ul aria-label={t`Files`}>
          {paths.map((path) => (
            <li key={path}>
              <button
                type="button"
                aria-current={path === file || undefined}
                onClick={() => setPlace({ file: path, line: 0 })}
                className={cx(
                  "w-full truncate rounded-sm px-2 py-0.5 text-left hover:bg-muted focus-visible:-outline-offset-2",
                  path === file && "bg-accent font-medium",
                )}
              >
                <code>{path}</code>
              </button>
            </li>
          ))}
        </ul>
        {outline.error !== null && <ErrorNotice error={outline.error} />}
        <ul aria-label={t`Steps`}>
          {rows.map((row) => (
            <li key={row.key}>
              <button
                type="button"
                title={row.title}
                onClick={() => setPlace({ file: row.file, line: row.line })}
                style={{ paddingLeft: 8 + row.depth * 14 }}
                className={cx(
                  "w-full truncate rounded-sm py-0.5 pr-2 text-left hover:bg-muted focus-visible:-outline-offset-2",
                  row.kind === "flow" && "font-medium",
                  place?.line === row.line && place.file === row.file && "bg-accent",
                )}
              >
                {row.title}
              </button>
            </li>
          ))}
        </ul>
      </nav>
      <section aria-label={t`Source`} className="flex min-w-0 flex-col gap-1">
        <p className="flex items-center gap-2 text-xs text-muted-foreground">
          <code>{file}</code> {kind} {t`It is read here, and edited in its project.`}
          <CopyButton text={files[file] ?? ""} name={t`Copy the file`} />
        </p>
        <Code text={files[file] ?? ""} line={place?.line ?? 0} />
      </section>
    </div>
  )
}

function Code({ text, line }: { text: string; line: number }) {
  const marked = useRef<HTMLTableRowElement>(null)
  useEffect(() => {
    marked.current?.scrollIntoView({ block: "center" })
  }, [text, line])
  const lines = text.split("\n")
  return (
    <div
      tabIndex={0}
      role="region"
      aria-label={t`Text`}
      className="max-h-[70vh] overflow-auto rounded-md border bg-card"
    >
      <table className="border-collapse font-mono text-xs leading-[18px]">
        <tbody>
          {lines.slice(0, MOST_LINES).map((each, at) => (
            <tr
              key={at}
              ref={at + 1 === line ? marked : null}
              className={at + 1 === line ? "bg-accent" : undefined}
            >
              <td className="figures w-12 pr-3 pl-2 text-right text-muted-foreground select-none">
                {at + 1}
              </td>
              <td className="pr-4 whitespace-pre">{each}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {lines.length > MOST_LINES && (
        <p className="px-2 py-1 text-muted-foreground">
          {t`and ${lines.length - MOST_LINES} more lines`}
        </p>
      )}
    </div>
  )
}

function rowsOf(outline: Schemas["Outline"]): Row[] {
  const rows: Row[] = []
  const add = (nodes: readonly Node[], depth: number) => {
    for (const node of nodes) {
      const { file, line } = node.place
      const key = JSON.stringify(node.path)
      rows.push({ key, depth, title: titleOf(node), kind: node.kind, file, line })
      for (const block of node.blocks) add(block.nodes, depth + 1)
    }
  }
  for (const flow of outline.flows) {
    const { file, line } = flow.place
    const key = JSON.stringify(flow.path)
    rows.push({ key, depth: 0, title: flow.title, kind: "flow", file, line })
    add(flow.steps, 1)
  }
  return rows
}
