import { t } from "@lingui/core/macro"
import { RefreshCw } from "lucide-react"
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
