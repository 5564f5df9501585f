import { t } from "@lingui/core/macro"
import { RefreshCw } from "lucide-react"
import { timeHint, timeIn } from "~/features/executions/filter"
import { Button } from "~/ui/button"
import type { Column } from "~/ui/table"
import { Time, zone } from "~/ui/time"

/** Loads a list anew by hand: each look at it is audited, or nothing tells of its changes. */
export function LoadAnew({ onLoad }: { onLoad: () => void }) {
  return (
    <Button icon={<RefreshCw aria-hidden />} onClick={onLoad}>
      {t`Load anew`}
    </Button>
  )
}

/** The fields of a period, as they stand in a filter. */
export const periodFields = (): ["since" | "until", string][] => [
  ["since", t`Since, e.g. 2h`],
  ["until", t`Until`],
]

/** How the times of a period are written. */
export const periodHints = () => ({ since: timeHint(), until: timeHint() })

/** Return a filter with its times as the API takes them; throw where one is none. */
export function withMoments<Filter extends { since?: string; until?: string }>(filter: Filter) {
  return { ...filter, since: timeIn(filter.since) ?? null, until: timeIn(filter.until) ?? null }
}

/** Return the column of when something happened. */
export function timeColumn<Row extends { at: string }>(): Column<Row> {
  return {
    key: "at",
    title: t`Time, ${zone()}`,
    width: "128px",
    end: true,
    className: "text-muted-foreground",
    cell: (row) => <Time at={row.at} />,
  }
}
