import { t } from "@lingui/core/macro"
import { Link } from "@tanstack/react-router"
import type { Summary } from "~/api/execution"
import { EditedMark } from "~/features/execution/edited"
import { StateBadge } from "~/ui/state"
import type { Column } from "~/ui/table"
import { length, Since, Time, zone } from "~/ui/time"
import { isOver } from "~/api/execution"

const PATH = / \([\w.$/-]+(?:#\d+)?\) failed: /

/** Return a reason without the path of its step, which is told where the execution is open. */
export function plain(reason: string): string {
  return reason.replace(PATH, ": ")
}

/** Say in a line of a list why an execution is as it is. */
export function whyOf({ reason, waiting }: Summary): string {
  if (waiting?.reason === "order") return t`behind another one: ${waiting.message}`
  return waiting?.message || statusFirst(plain(reason))
}

const ANSWERED = /\b[A-Z]{3,7} \S+ answered ([1-5]\d\d)(?::\s*|$)/

/** Return a reason with the HTTP status of the call in front, and without its long address. */
export function statusFirst(reason: string): string {
  const status = ANSWERED.exec(reason)?.[1]
  if (status === undefined) return reason
  return `${status} ${reason.replace(ANSWERED, "").replace(/: $/, "")}`.trimEnd()
}

function Took({ row }: { row: Summary }) {
  if (row.took_ms !== null && isOver(row.state)) return length(row.took_ms)
  if (row.state === "running" && row.started_at !== null) return <Since at={row.started_at} />
  return row.took_ms === null ? "" : length(row.took_ms)
}

export function columns(): Column<Summary>[] {
  return [
    {
      key: "state",
      title: t`State`,
      width: "96px",
      cell: (row) => <StateBadge state={row.state} dim={row.dismissed} />,
    },
    {
      key: "flow",
      title: t`Flow`,
      width: "minmax(110px, 0.9fr)",
      cell: (row) => (
        <>
          {row.edited_by !== null && <EditedMark by={row.edited_by} small />}{" "}
          <Link
            to="/executions/$execution"
            params={{ execution: row.id }}
            tabIndex={-1}
            className="font-medium hover:underline"
            title={`${row.integration} · ${row.flow}`}
          >
            {row.flow}
          </Link>
        </>
      ),
    },
    {
      key: "customer",
      title: t`Customer`,
      width: "minmax(90px, 0.8fr)",
      cell: (row) => (
        <span title={`${row.customer_name ?? row.customer} / ${row.instance_name ?? row.instance}`}>
          {row.customer_name ?? row.customer}
        </span>
      ),
    },
    {
      key: "record",
      title: t`Record`,
      width: "minmax(70px, 0.6fr)",
      wide: true,
      className: "font-mono text-xs",
      cell: (row) => row.key !== null && <span title={row.key}>{row.key}</span>,
    },
    {
      key: "why",
      title: t`Why`,
      width: "minmax(120px, 1.8fr)",
      wide: true,
      className: "text-muted-foreground",
      cell: (row) => {
        const why = whyOf(row)
        return why !== "" && <span title={plain(row.reason) || why}>{why}</span>
      },
    },
    {
      key: "took",
      title: t`Ran`,
      width: "72px",
      wide: "most",
      end: true,
      className: "figures text-muted-foreground",
      cell: (row) => <Took row={row} />,
    },
    {
      key: "waited",
      title: t`Waited`,
      width: "72px",
      wide: "most",
      end: true,
      className: "figures text-muted-foreground",
      cell: (row) => (row.waited_ms === null || row.waited_ms < 1 ? "" : length(row.waited_ms)),
    },
    {
      key: "accepted",
      title: t`Accepted, ${zone()}`,
      width: "128px",
      end: true,
      className: "text-muted-foreground",
      cell: (row) => <Time at={row.accepted_at} />,
    },
  ]
}
