import { t } from "@lingui/core/macro"
import { Link } from "@tanstack/react-router"
import type { ReactNode } from "react"
import { Id } from "~/ui/copy"

/** What an entry of the audit log is about: by its kind, its id, and its name where it has one. */
export type About = { kind: string; id: string; name: string | undefined }

/** Return what an entry is about, without its customers; each once. */
export function aboutOf(entry: {
  objects: Record<string, string>
  names: Record<string, string>
}): About[] {
  const found = new Map<string, About>()
  for (const [kind, id] of Object.entries(entry.objects)) {
    if (kind === "customer" || id.startsWith("cus_") || found.has(id)) continue
    found.set(id, { kind: kind === "made" ? kindOf(id) : kind, id, name: entry.names[id] })
  }
  return [...found.values()]
}

/** Return the customers that an entry is about, by their names. */
export function whoseOf(entry: {
  customers: readonly string[]
  names: Record<string, string>
}): { id: string; name: string | undefined }[] {
  return entry.customers.map((id) => ({ id, name: entry.names[id] }))
}

const KINDS: Record<string, string> = {
  exe: "execution",
  ins: "instance",
  con: "connection",
  blk: "bulk",
  usr: "user",
  key: "key",
  tok: "token",
  drf: "draft",
  cset: "component set",
}

function kindOf(id: string): string {
  return KINDS[id.split("_")[0] ?? ""] ?? (/^[0-9a-f]{64}$/.test(id) ? "version" : "made")
}

/** Return the kind of an object in words. */
export function wordOf(kind: string): string {
  const words: Record<string, string> = {
    execution: t`Execution`,
    instance: t`Instance`,
    connection: t`Connection`,
    bulk: t`Bulk`,
    user: t`Person`,
    key: t`Key`,
    token: t`Token`,
    draft: t`Draft`,
    version: t`Version`,
    integration: t`Integration`,
    flow: t`Flow`,
    "component set": t`Component set`,
    component: t`Component`,
    made: t`What it made`,
  }
  return words[kind] ?? kind
}

/** A link to what an id names, by its name; the name alone, where it has no page. */
export function Named({ id, name }: { id: string; name: string | undefined }) {
  const text: ReactNode = name ?? <code className="break-all">{id}</code>
  switch (id.split("_")[0]) {
    case "exe":
      return (
        <Link to="/executions/$execution" params={{ execution: id }} className="link">
          {text}
        </Link>
      )
    case "cus":
      return (
        <Link to="/customers/$customer" params={{ customer: id }} className="link">
          {text}
        </Link>
      )
    case "ins":
      return (
        <Link to="/instances/$instance" params={{ instance: id }} className="link">
          {text}
        </Link>
      )
    case "con":
      return (
        <Link to="/connections" search={{ open: id }} className="link">
          {text}
        </Link>
      )
    case "blk":
      return (
        <Link to="/failures/bulks" search={{ open: id }} className="link">
          {text}
        </Link>
      )
    default:
      return text
  }
}

/** What an id names, with the id behind it, and a way to all entries about it. */
export function NamedId({
  id,
  name,
  onAll,
}: {
  id: string
  name: string | undefined
  onAll: () => void
}) {
  return (
    <span className="flex flex-wrap items-center gap-x-2">
      <Named id={id} name={name} />
      <span className="text-xs text-muted-foreground">
        <Id id={id} />
      </span>
      <button type="button" className="link text-xs" onClick={onAll}>
        {t`all entries about it`}
      </button>
    </span>
  )
}
