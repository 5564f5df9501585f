import { t } from "@lingui/core/macro"
import { Plural, Trans } from "@lingui/react/macro"
import { useQuery } from "@tanstack/react-query"
import { ChevronDown, ChevronRight } from "lucide-react"
import { type KeyboardEvent, memo, type ReactNode, useMemo, useRef, useState } from "react"
import { Button } from "~/ui/button"
import { cx } from "~/ui/class"
import { Field, Select } from "~/ui/field"
import { Notice, Pending } from "~/ui/notice"
import { type DiffLine, hunksOf, pairsOf } from "./diff"
import { type Diff, diffQuery, type Version } from "./queries"

type FileChange = Diff["files"][number]
type FlowChange = NonNullable<Diff["flows"]>[number]
type StepChange = FlowChange["steps"][number]
export type Layout = "unified" | "split"

const FEW_LINES = 400

/** The difference of two versions. N and P go from change to change, U changes the layout. */
export function Compare({
  integration,
  versions,
  from,
  to,
  layout,
  onPick,
  onLayout,
}: {
  integration: string
  versions: Version[]
  from: number
  to: number
  layout: Layout
  onPick: (from: number, to: number) => void
  onLayout: (layout: Layout) => void
}) {
  const diff = useQuery(diffQuery(integration, String(from), String(to)))
  const region = useRef<HTMLDivElement>(null)
  const step = (by: 1 | -1) => {
    const changes = [...(region.current?.querySelectorAll<HTMLElement>("[data-change]") ?? [])]
    const at = changes.findIndex((each) => each === document.activeElement)
    const next = changes[at === -1 ? (by === 1 ? 0 : changes.length - 1) : at + by]
    next?.focus()
    next?.scrollIntoView({ block: "center" })
  }
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.metaKey || event.ctrlKey || event.altKey) return
    if ((event.target as Element).closest("select, input") !== null) return
    const key = event.key.toLowerCase()
    if (key === "n") step(1)
    else if (key === "p") step(-1)
    else if (key === "u") onLayout(layout === "split" ? "unified" : "split")
    else return
    event.preventDefault()
  }
  const pick = (label: string, value: number, onChange: (number: number) => void) => (
    <Field label={label}>
      {(control) => (
        <Select {...control} value={value} onChange={(e) => onChange(Number(e.target.value))}>
          {versions.map((each) => (
            <option key={each.hash} value={each.number}>
              {each.number} {each.note === "" ? "" : `· ${each.note.slice(0, 60)}`}
            </option>
          ))}
        </Select>
      )}
    </Field>
  )
  return (
    <div
      ref={region}
      role="region"
      aria-label={t`Changes`}
      tabIndex={0}
      onKeyDown={onKeyDown}
      className="flex flex-col gap-4 outline-none"
    >
      <div className="flex flex-wrap items-end gap-3">
        {pick(t`From version`, from, (number) => onPick(number, to))}
        {pick(t`To version`, to, (number) => onPick(from, number))}
        <Button onClick={() => onLayout(layout === "split" ? "unified" : "split")}>
          {layout === "split" ? t`One below the other` : t`Side by side`}
        </Button>
        <span className="ml-auto hidden text-xs text-muted-foreground md:inline">
          <Trans>
            <kbd>N</kbd> next change, <kbd>P</kbd> the one before, <kbd>U</kbd> layout
          </Trans>
        </span>
      </div>
      {diff.data === undefined ? (
        <Pending of={diff} />
      ) : (
        <Changes diff={diff.data} layout={layout} dim={diff.isPlaceholderData} />
      )}
    </div>
  )
}

function Changes({ diff, layout, dim }: { diff: Diff; layout: Layout; dim: boolean }) {
  const { config, flows, files } = diff
  if (files.length === 0 && flows?.length === 0 && config?.length === 0) {
    return <Notice title={t`They have the same files`} />
  }
  return (
    <div className={cx("flex flex-col gap-5", dim && "opacity-60")} aria-busy={dim}>
      <div className="grid gap-5 lg:grid-cols-2">
        <Part title={t`What an upgrade asks for`}>
          {config === null ? (
            <p className="text-waiting">{t`One of the versions does not load here.`}</p>
          ) : (
            <ConfigChanges config={config} />
          )}
        </Part>
        <Part title={t`Flows and steps`}>
          {flows === null ? (
            <p className="text-waiting">{t`The flows of one of the versions cannot be read.`}</p>
          ) : flows.length === 0 ? (
            <p className="text-muted-foreground">{t`No step differs.`}</p>
          ) : (
            flows.map((each) => <FlowChanges key={each.name} flow={each} />)
          )}
        </Part>
      </div>
      <Part title={t`Files`}>
        {files.length === 0 && (
          <p className="text-muted-foreground">{t`No file differs, only what they are locked with.`}</p>
        )}
        {files.map((each) => (
          <FileDiff key={each.path} file={each} layout={layout} />
        ))}
        {diff.left_out > 0 && (
          <p className="text-waiting">
            <Plural value={diff.left_out} one="# more file differs" other="# more files differ" />
          </p>
        )}
      </Part>
    </div>
  )
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section aria-label={title} className="flex min-w-0 flex-col gap-2">
      <h3 className="font-medium">{title}</h3>
      {children}
    </section>
  )
}

const MARKS = { added: "+", removed: "−", changed: "~", moved: "↕" } as const
const LOOKS = {
  added: "text-succeeded",
  removed: "text-failed-text",
  changed: "text-waiting",
  moved: "text-running",
} as const

/** What became of something: a sign, and the word for it. */
function Mark({ change, moved = false }: { change: keyof typeof MARKS; moved?: boolean }) {
  const words = {
    added: t`added`,
    removed: t`removed`,
    changed: moved ? t`moved and changed` : t`changed`,
    moved: t`moved`,
  }
  return (
    <span className={cx("inline-flex shrink-0 items-baseline gap-1 text-xs", LOOKS[change])}>
      <span aria-hidden className="w-3 text-center font-mono font-semibold">
        {MARKS[change]}
      </span>
      {words[change]}
    </span>
  )
}

function ConfigChanges({ config }: { config: NonNullable<Diff["config"]> }) {
  if (config.length === 0) {
    return <p className="text-muted-foreground">{t`Nothing: the config is the same.`}</p>
  }
  return (
    <ul className="flex flex-col gap-1.5">
      {config.map((each) => (
        <li key={each.name} data-change tabIndex={-1} className="min-w-0 rounded-sm">
          <span className="flex flex-wrap items-baseline gap-2">
            <Mark change={each.change} />
            <span className="font-medium">{each.title}</span>
            <code className="text-muted-foreground">{each.name}</code>
            {each.asked && <strong className="text-waiting">{t`has to be given`}</strong>}
          </span>
          <Values before={each.before} after={each.after} />
        </li>
      ))}
    </ul>
  )
}

function Values({ before, after }: { before: string; after: string }) {
  return (
    <span className="block pl-4 font-mono text-xs break-words text-muted-foreground">
      {before !== "" && <del className="decoration-failed-text/60">{before}</del>}
      {before !== "" && after !== "" && " → "}
      {after !== "" && <ins className="no-underline">{after}</ins>}
    </span>
  )
}

function FlowChanges({ flow }: { flow: FlowChange }) {
  return (
    <div className="min-w-0">
      <p className="flex items-baseline gap-2">
        {flow.change !== "changed" && <Mark change={flow.change} />}
        <span className="font-medium">{flow.title}</span>
        <code className="text-muted-foreground">{flow.name}</code>
      </p>
      {flow.values.map((each) => (
        <ValueLine key={each.name} {...each} />
      ))}
      <ul className="mt-1 flex flex-col gap-1">
        {flow.steps.map((each, at) => (
          <StepLine key={at} step={each} />
        ))}
      </ul>
    </div>
  )
}

function ValueLine({ name, before, after }: { name: string; before: string; after: string }) {
  return (
    <div className="flex min-w-0 gap-1 pl-4">
      <code className="shrink-0 text-muted-foreground">{name}</code>
      <Values before={before} after={after} />
    </div>
  )
}

function StepLine({ step }: { step: StepChange }) {
  return (
    <li data-change tabIndex={-1} className="min-w-0 rounded-sm">
      <span className="flex items-baseline gap-2">
        <Mark change={step.change} moved={step.moved} />
        <span className="min-w-0 truncate" title={step.title}>
          {step.title}
        </span>
        <span className="shrink-0 text-xs text-muted-foreground">{step.kind}</span>
      </span>
      {step.values.map((each) => (
        <ValueLine key={each.name} {...each} />
      ))}
    </li>
  )
}

/** A file that differs; a long one is folded until it is asked for. */
const FileDiff = memo(function FileDiff({ file, layout }: { file: FileChange; layout: Layout }) {
  const hunks = useMemo(() => hunksOf(file.text), [file.text])
  const lines = hunks.reduce((sum, each) => sum + each.lines.length, 0)
  const [open, setOpen] = useState(lines <= FEW_LINES)
  return (
    <div className="min-w-0 overflow-hidden rounded-md border">
      <button
        type="button"
        data-change
        aria-expanded={open}
        onClick={() => setOpen(!open)}
        className="flex w-full items-center gap-2 bg-muted px-2 py-1 text-left focus-visible:-outline-offset-2"
      >
        {open ? (
          <ChevronDown aria-hidden className="size-3.5 shrink-0" />
        ) : (
          <ChevronRight aria-hidden className="size-3.5 shrink-0" />
        )}
        <code className="min-w-0 truncate font-semibold">{file.path}</code>
        {file.change !== "changed" && <Mark change={file.change} />}
        <span className="figures ml-auto shrink-0 text-xs">
          <span className="text-succeeded">+{file.added}</span>{" "}
          <span className="text-failed-text">−{file.removed}</span>
        </span>
      </button>
      {open &&
        hunks.map((hunk) => (
          <div
            key={hunk.heading}
            data-change
            tabIndex={-1}
            className="focus-visible:-outline-offset-2"
          >
            <p className="border-y border-border/60 bg-accent/50 px-2 font-mono text-xs text-muted-foreground first:border-t-0">
              {hunk.heading}
            </p>
            {layout === "split" ? <Split lines={hunk.lines} /> : <Unified lines={hunk.lines} />}
          </div>
        ))}
      {file.left_out !== "" && <p className="px-2 py-1 text-muted-foreground">{file.left_out}</p>}
    </div>
  )
})

const BACK = {
  same: "",
  added: "bg-succeeded/10",
  removed: "bg-failed-text/10",
} as const
const SIGNS = { same: " ", added: "+", removed: "-" } as const
const CODE = "font-mono text-xs leading-[18px] whitespace-pre-wrap break-all"
const NUMBER = "select-none pr-2 text-right text-muted-foreground figures align-top w-10"

/** Lines of a diff, one below the other. */
export function Unified({ lines }: { lines: DiffLine[] }) {
  return (
    <table className={cx("w-full table-fixed border-collapse", CODE)}>
      <colgroup>
        <col className="w-10" />
        <col className="w-10" />
        <col />
      </colgroup>
      <tbody>
        {lines.map((line, at) => (
          <tr key={at} className={BACK[line.kind]}>
            <td className={NUMBER}>{line.before}</td>
            <td className={NUMBER}>{line.after}</td>
            <td className="pr-2">
              <Sign line={line} />
              {line.text}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

function Split({ lines }: { lines: DiffLine[] }) {
  return (
    <table className={cx("w-full table-fixed border-collapse", CODE)}>
      <colgroup>
        <col className="w-10" />
        <col />
        <col className="w-10" />
        <col />
      </colgroup>
      <tbody>
        {pairsOf(lines).map(({ before, after }, at) => (
          <tr key={at}>
            <td className={NUMBER}>{before?.before}</td>
            <Side line={before} />
            <td className={cx(NUMBER, "border-l")}>{after?.after}</td>
            <Side line={after} />
          </tr>
        ))}
      </tbody>
    </table>
  )
}

function Side({ line }: { line: DiffLine | null }) {
  if (line === null) return <td className="bg-muted" />
  return (
    <td className={cx("pr-2 align-top", BACK[line.kind])}>
      <Sign line={line} />
      {line.text}
    </td>
  )
}

function Sign({ line }: { line: DiffLine }) {
  return (
    <span className="inline-block w-3 select-none text-muted-foreground">{SIGNS[line.kind]}</span>
  )
}
