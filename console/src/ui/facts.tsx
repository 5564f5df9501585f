import type { ReactNode } from "react"

export type Fact = readonly [name: string, value: ReactNode]

/** Names with their values, one a line. */
export function FactList({ facts }: { facts: readonly Fact[] }) {
  return (
    <dl className="grid grid-cols-[fit-content(45%)_minmax(0,1fr)] gap-x-6 gap-y-1.5 [&_dt]:wrap-anywhere [&_dt]:text-muted-foreground">
      {facts.map(([name, value]) => (
        <div key={name} className="contents">
          <dt>{name}</dt>
          <dd className="min-w-0 break-words">{value}</dd>
        </div>
      ))}
    </dl>
  )
}

/** A part of a page below a heading. */
export function Section({
  title,
  actions,
  children,
}: {
  title: string
  actions?: ReactNode
  children: ReactNode
}) {
  return (
    <section className="flex flex-col gap-2">
      <div className="flex min-h-7 items-center justify-between gap-2">
        <h3 className="min-w-0 text-base font-semibold">{title}</h3>
        {actions}
      </div>
      {children}
    </section>
  )
}
