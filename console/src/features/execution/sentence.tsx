import { plural, t } from "@lingui/core/macro"
import type { Execution, Failure } from "~/api/execution"
import { type Items, itemsText } from "./tree"
import { length, shortTime } from "~/ui/time"

type Told = Pick<Execution, "state" | "reason" | "waiting" | "failure" | "attempt">

// A failure's message begins with the step that failed: its title, and its path.
const STEP = /^(.{1,200}?) \(([^()\s]+)\) failed: /s

/**
 * Say in a sentence why an execution is as it is. `failed`: how many of its steps did, where that is
 * known: a flow may go on behind them; `items`: how many of its loops' items ended, and failed.
 */
export function sentenceOf(execution: Told, failed?: number, items: Items | null = null): string {
  const { state, reason } = execution
  switch (state) {
    case "failed":
      return failureSentence(execution)
    case "waiting":
    case "queued":
      return waitSentence(execution)
    case "running":
      return runningSentence(execution)
    case "cancelled":
      return reason === "" ? t`It was cancelled.` : t`It was cancelled: ${reason}`
    case "ignored":
      return reason === "" ? t`There was nothing to do.` : t`There was nothing to do: ${reason}`
    case "succeeded":
      if (reason !== "") return reason
      if (items !== null) return t`It succeeded, though ${itemsText(items)}.`
      if (failed === undefined) return t`It succeeded.`
      if (failed === 0) return t`All of its steps succeeded.`
      return plural(failed, {
        one: "It succeeded, though # of its steps failed.",
        other: "It succeeded, though # of its steps failed.",
      })
  }
}

/** Return the title of the step of which an execution failed; null where it failed of none. */
export function failedStep(failure: Failure | null): string | null {
  return STEP.exec(failure?.message ?? "")?.[1] ?? null
}

function failureSentence({ failure, reason }: Told): string {
  if (failure === null) return reason
  const step = failedStep(failure)
  if (step === null) return isOfItsCode(failure) ? faultText(failure) : failureText(failure)
  return t`“${step}” failed: ${failure.message.replace(STEP, "")}`
}

/** Return whether the flow's own code failed, and none of its steps. */
export function isOfItsCode(failure: Failure): boolean {
  return failure.step === "" && failure.trace !== ""
}

function faultText({ kind, message }: Failure): string {
  return message === "" || message === kind ? kind : `${kind}: ${message}`
}

/** Return a failure's message; where it has none, or it is hidden, its cause, or its class. */
export function failureText(failure: Failure): string {
  return failure.message.trim() || failure.cause || failure.kind
}

function runningSentence({ attempt }: Told): string {
  return attempt > 1 ? t`It runs, taken up ${attempt} times by now.` : t`It runs.`
}

function waitSentence({ waiting, state }: Told): string {
  if (waiting === null) {
    return state === "queued"
      ? t`It is queued, and runs as soon as a worker is free.`
      : t`It waits.`
  }
  const { message } = waiting
  const until = waiting.until === null ? null : shortTime(waiting.until)
  switch (waiting.reason) {
    case "pause":
      return t`It is held: ${message}.`
    case "gate":
      return t`It waits until ${message}; then it goes on by itself.`
    case "order":
      return waiting.execution === null
        ? t`It waits for its turn: ${message}.`
        : t`It waits for its turn behind ${waiting.execution}: ${message}.`
    case "connection":
      return until === null
        ? t`It waits for a connection: ${message}.`
        : t`It waits for a connection: ${message}. The app is tried again at ${until}.`
    case "limit":
      return t`It waits for a limit: ${message}.`
    case "back-off": {
      const number = waiting.number ?? 2
      return until === null
        ? t`Its last try failed (${message}); try ${number} comes soon.`
        : t`Its last try failed (${message}); try ${number} comes at ${until}.`
    }
    case "signal":
      return until === null
        ? t`It waits for ${withQuotes(message)}.`
        : t`It waits for ${withQuotes(message)}, until ${until} at most.`
    case "execution":
      return t`It waits for the execution that it called: ${message}.`
    case "sleep":
      return until === null ? t`It sleeps: ${message}.` : t`It sleeps until ${until}.`
    case "turn":
      return t`It is due, and waits for ${message}.`
  }
}

/** Put the names of signals in quotes: "the signal approved" reads as one that was. */
function withQuotes(message: string): string {
  const parts = message.split(", ").map((part) => {
    const [, name, more = ""] = /^the signal (.+?)( and \d+ more)?$/.exec(part) ?? []
    return name === undefined ? part : t`the signal “${name}”` + more
  })
  return parts.join(", ")
}

/** Say for how long an execution waited and ran. */
export function lengthsOf(execution: Pick<Execution, "took_ms" | "waited_ms">): string {
  const took = execution.took_ms === null ? null : length(execution.took_ms)
  const waited = (execution.waited_ms ?? 0) < 1 ? null : length(execution.waited_ms ?? 0)
  if (took === null) return ""
  return waited === null ? t`ran ${took}` : t`waited ${waited}, ran ${took}`
}
