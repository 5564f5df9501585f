import { Trans } from "@lingui/react/macro"
import { t } from "@lingui/core/macro"
import { CircleAlert, CloudOff, Lock, SearchX } from "lucide-react"
import type { ComponentProps, ReactNode } from "react"
import { ApiError, NotUnderstood, Offline } from "~/api/problem"
import { Button } from "./button"
import { cx } from "./class"

/** A place where there is nothing to show: why, and what to do. */
export function Notice({
  icon,
  title,
  children,
  action,
}: {
  icon?: ReactNode
  title: string
  children?: ReactNode
  action?: ReactNode
}) {
  return (
    <div className="flex flex-col items-center gap-2 px-6 py-16 text-center">
      <span className="text-muted-foreground [&_svg]:size-6" aria-hidden>
        {icon}
      </span>
      <p className="text-base font-medium">{title}</p>
      {children !== undefined && <div className="max-w-md text-muted-foreground">{children}</div>}
      {action}
    </div>
  )
}

/** An error where a page or a part of it would be. */
export function ErrorNotice({
  error,
  retry,
}: {
  error: unknown
  retry?: (() => void) | undefined
}) {
  const again = retry && <Button onClick={retry}>{t`Try again`}</Button>
  if (error instanceof Offline) {
    return (
      <Notice icon={<CloudOff />} title={t`The server cannot be reached`} action={again}>
        <Trans>It is loaded as soon as the connection is back.</Trans>
      </Notice>
    )
  }
  if (error instanceof NotUnderstood) return <Notice icon={<SearchX />} title={error.message} />
  if (error instanceof ApiError && error.status === 403) {
    return (
      <Notice icon={<Lock />} title={t`Your role does not show this`}>
        {error.message}
      </Notice>
    )
  }
  if (error instanceof ApiError && (error.status === 404 || error.status === 410)) {
    return <Notice icon={<SearchX />} title={error.message} />
  }
  const text = error instanceof Error ? error.message : ""
  const kind = error instanceof ApiError ? error.problem.kind : null
  return (
    <Notice icon={<CircleAlert />} title={t`This could not be loaded`} action={again}>
      <p className="break-words">{text}</p>
      {kind !== null && <code className="text-xs">{kind}</code>}
    </Notice>
  )
}

/** What stands where a query's data will be: grey bars, or why it has none and a second try. */
export function Pending({
  of: query,
  ...bars
}: {
  of: { error: unknown; refetch: () => unknown }
} & ComponentProps<typeof Loading>) {
  if (query.error === null) return <Loading {...bars} />
  return <ErrorNotice error={query.error} retry={() => void query.refetch()} />
}

/** What a form says when it was refused. */
export function FormError({ error }: { error: Error | null }) {
  if (error === null) return null
  const fields = error instanceof ApiError ? Object.entries(error.problem.fields ?? {}) : []
  return (
    <div role="alert" className="rounded-md border border-destructive/40 px-3 py-2">
      <p className="break-words text-failed-text">{error.message}</p>
      {fields.length > 1 && (
        <ul className="text-xs text-muted-foreground">
          {fields.map(([name, message]) => (
            <li key={name}>
              <code>{name}</code> {message}
            </li>
          ))}
        </ul>
      )}
    </div>
  )
}

/** Grey bars where something is being loaded. */
export function Loading({ lines = 6, className }: { lines?: number; className?: string }) {
  return (
    <div role="status" aria-label={t`Loading`} className={cx("flex flex-col gap-3 p-4", className)}>
      {Array.from({ length: lines }, (_, at) => (
        <div
          key={at}
          className={cx(
            "h-3 animate-pulse rounded-sm bg-secondary",
            ["w-11/12", "w-2/3", "w-5/6", "w-1/2"][at % 4],
          )}
        />
      ))}
    </div>
  )
}
