import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { ChevronLeft, ChevronRight } from "lucide-react"
import { IconButton } from "~/ui/button"
import { cx } from "~/ui/class"
import type { Items } from "./rows"

/** Which of several is shown, and the way to the others. */
export function Stepper({
  what,
  at,
  count,
  onAt,
  failed = NONE,
}: {
  what: string
  at: number
  count: number
  onAt: (at: number) => void
  failed?: readonly number[]
}) {
  const bad = failed.includes(at)
  return (
    <span role="group" aria-label={what} className="inline-flex items-center">
      <IconButton
        name={t`${what}: the one before`}
        className="size-6"
        disabled={at <= 0}
        onClick={() => onAt(at - 1)}
      >
        <ChevronLeft aria-hidden />
      </IconButton>
      <span className={cx("figures text-xs", bad ? "text-failed-text" : "text-muted-foreground")}>
        <Trans>
          {what} {at + 1} of {count}
        </Trans>
        {bad && ` (${t`failed`})`}
      </span>
      <IconButton
        name={t`${what}: the next`}
        className="size-6"
        disabled={at >= count - 1}
        onClick={() => onAt(at + 1)}
      >
        <ChevronRight aria-hidden />
      </IconButton>
    </span>
  )
}

const NONE: readonly number[] = []

/** Which item of a loop is shown, on its frame. */
export function ItemStepper({ items, onAt }: { items: Items; onAt: (at: number) => void }) {
  return (
    <span className="inline-flex items-center gap-1 rounded-md border bg-card">
      <Stepper what={t`Item`} at={items.at} count={items.count} failed={items.failed} onAt={onAt} />
    </span>
  )
}
