import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { Link } from "@tanstack/react-router"
import type { Execution, Failure, Step } from "~/api/execution"
import { Code } from "~/ui/json"
import { Tabs, type Tab } from "~/ui/tabs"
import { fullTime, length, Time } from "~/ui/time"
import type { PlaceProps } from "./detail"
import { HiddenPayload, Value } from "./value"

/** One step: what went in, what came out, what went wrong, how often it was tried. */
export function StepPanel({
  execution,
  step,
  place,
  onPlace,
}: PlaceProps & { execution: Execution; step: Step }) {
  const value = (part: "inputs" | "result", label: string, none: string) => {
    if (execution.payload_hidden) return <HiddenPayload />
    const excerpt = step[part]
    if (excerpt === null) return <p className="text-muted-foreground">{none}</p>
    const { id } = execution
    return <Value execution={id} part={part} step={step.path} excerpt={excerpt} label={label} />
  }
  const tabs: Tab[] = [
    { key: "input", label: t`Input`, content: () => value("inputs", t`Input`, t`It takes none.`) },
    {
      key: "output",
      label: t`Output`,
      content: () => value("result", t`Output`, t`There is none.`),
    },
  ]
  const { failure } = step
  if (failure !== null) {
    tabs.push({ key: "error", label: t`Error`, content: () => <FailurePanel failure={failure} /> })
  }
  tabs.push({
    key: "tries",
    label: t`Attempts`,
    count: step.tries,
    content: () => <Tries execution={execution} step={step} />,
  })
  const first = failure !== null ? "error" : step.result === null ? "input" : "output"
  const known = tabs.some((each) => each.key === place.tab)
  const paired = pairedBy(step)
  return (
    <>
      {paired !== null && (
        <p className="px-4 pb-2">
          <Link to="/executions" search={{ key: paired }} className="link break-all">
            {t`Executions of the paired record ${paired}`}
          </Link>
        </p>
      )}
      <Tabs
        label={t`Parts of the step`}
        tabs={tabs}
        selected={known ? place.tab : first}
        onSelect={(tab) => onPlace({ ...place, step: step.path, tab })}
      />
    </>
  )
}

/** Return the id of the other app's record, where a step looked a pair up and found one. */
export function pairedBy({ kind, result }: Pick<Step, "kind" | "result">): string | null {
  if (kind !== "pair" || result === null || result.cut) return null
  const found: unknown = result.text === "" ? null : JSON.parse(result.text)
  return typeof found === "string" ? found : null
}

/** An error as it was recorded: its message first, its trace last. */
export function FailurePanel({ failure }: { failure: Failure }) {
  return (
    <div className="flex flex-col gap-3">
      <p className="text-base break-words whitespace-pre-wrap">{failure.message || failure.kind}</p>
      <dl className="grid grid-cols-[max-content_minmax(0,1fr)] gap-x-4 gap-y-1 [&_dt]:text-muted-foreground">
        <dt>{t`Error`}</dt>
        <dd>
          <code>{failure.kind}</code>
        </dd>
        {failure.status !== null && (
          <>
            <dt>{t`HTTP status`}</dt>
            <dd>{failure.status}</dd>
          </>
        )}
        {failure.where !== "" && (
          <>
            <dt>{t`Where`}</dt>
            <dd className="break-all">
              <code>{failure.where}</code>
            </dd>
          </>
        )}
        {failure.cause !== "" && (
          <>
            <dt>{t`Cause`}</dt>
            <dd className="break-words">{failure.cause}</dd>
          </>
        )}
      </dl>
      {failure.trace !== "" && <Code text={failure.trace} label={t`Trace`} />}
    </div>
  )
}

function Tries({ execution, step }: { execution: Execution; step: Step }) {
  const { attempts } = execution
  return (
    <div className="flex flex-col gap-3">
      <dl className="grid grid-cols-[max-content_minmax(0,1fr)] gap-x-4 gap-y-1 [&_dt]:text-muted-foreground">
        <dt>{t`Began`}</dt>
        <dd title={fullTime(step.started_at)}>
          <Time at={step.started_at} />
        </dd>
        <dt>{t`Took`}</dt>
        <dd className="figures">{length(step.duration_ms)}</dd>
        <dt>{t`Tries`}</dt>
        <dd className="figures">{step.tries}</dd>
        {step.due_at !== null && (
          <>
            <dt>{t`Next try`}</dt>
            <dd>
              <Time at={step.due_at} />
            </dd>
          </>
        )}
        {step.copied_from !== null && (
          <>
            <dt>{t`Copied from`}</dt>
            <dd>
              <Link
                to="/executions/$execution"
                params={{ execution: step.copied_from }}
                search={{ step: step.path }}
                className="link"
              >
                <code>{step.copied_from}</code>
              </Link>
            </dd>
          </>
        )}
        {step.said_by != null && (
          <>
            <dt>{t`Done, as said by`}</dt>
            <dd>{step.said_by || t`a person`}</dd>
          </>
        )}
        {step.cut_attempt != null && (
          <>
            <dt>{t`Doubt`}</dt>
            <dd className="text-waiting">
              <Trans>
                Attempt {step.cut_attempt} was cut within it: it may have been done twice.
              </Trans>
            </dd>
          </>
        )}
        <dt>{t`Path`}</dt>
        <dd className="break-all">
          <code>{step.path}</code>
        </dd>
      </dl>
      {attempts.length > 0 && (
        <section>
          <h3 className="pb-1 font-medium">{t`Attempts of the execution that did not end it`}</h3>
          <ol className="flex flex-col gap-1">
            {attempts.map((each) => (
              <li key={each.number} className="flex min-w-0 gap-3">
                <span className="figures w-6 text-right text-muted-foreground">{each.number}</span>
                <Time at={each.ended_at} />
                <span className="min-w-0 break-words">{each.failure?.message || each.how}</span>
              </li>
            ))}
          </ol>
        </section>
      )}
    </div>
  )
}
