import { t } from "@lingui/core/macro"
import type { ReactNode } from "react"
import { cx } from "./class"

/** How far something has come; `children` are marks on the bar. */
export function Progress({
  value,
  max,
  className,
  children,
}: {
  value: number
  max: number
  className?: string
  children?: ReactNode
}) {
  const part = Math.min(100, (value / Math.max(1, max)) * 100)
  return (
    <div className={cx("relative", className)}>
      <div
        role="progressbar"
        aria-label={t`Progress`}
        aria-valuenow={value}
        aria-valuemin={0}
        aria-valuemax={max}
        className="h-1.5 overflow-hidden rounded-full bg-secondary"
      >
        <div className="h-full bg-primary" style={{ width: `${part}%` }} />
      </div>
      {children}
    </div>
  )
}
