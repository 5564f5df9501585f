import { beforeAll, expect, test } from "vitest"
import { i18n } from "~/phrases"
import type { Execution, Failure } from "~/api/execution"
import { statusFirst, whyOf } from "~/features/executions/columns"
import { sentenceOf } from "./sentence"

beforeAll(() => i18n.loadAndActivate({ locale: "en", messages: {} }))

const execution = (more: object): Execution =>
  ({
    state: "succeeded",
    reason: "",
    waiting: null,
    failure: null,
    attempt: 1,
    ...more,
  }) as Execution

test("steps that failed and behind which the flow went on are told", () => {
  expect(sentenceOf(execution({}), 0)).toBe("All of its steps succeeded.")
  expect(sentenceOf(execution({}), 2)).toBe("It succeeded, though 2 of its steps failed.")
  expect(sentenceOf(execution({}))).toBe("It succeeded.")
})

test("a fault in the flow's own code says its class", () => {
  const failure = { kind: "KeyError", message: "'total'", step: "", trace: "  File…" } as Failure
  expect(sentenceOf(execution({ state: "failed", failure }))).toBe("KeyError: 'total'")
})

test("in a list the status of the call comes first, without its address", () => {
  const reason = "Create the order: POST http://127.0.0.1:1/orders answered 401: reconnect"
  expect(statusFirst(reason)).toBe("401 Create the order: reconnect")
  expect(statusFirst("GET /a answered 503")).toBe("503")
  expect(statusFirst("the answer is 42")).toBe("the answer is 42")
})

test("one that waits for its turn names the one in front of it", () => {
  const message = "it came first, and failed"
  const waiting = { reason: "order", message, execution: "exe_1", until: null }
  const one = execution({ state: "waiting", waiting })
  expect(sentenceOf(one)).toBe(`It waits for its turn behind exe_1: ${message}.`)
  expect(whyOf(one)).toBe(`behind another one: ${message}`)
})

test("the name of a signal that is waited for stands in quotes", () => {
  const waits = (message: string) =>
    sentenceOf(execution({ state: "waiting", waiting: { reason: "signal", message, until: null } }))
  expect(waits("the signal approved")).toBe("It waits for the signal “approved”.")
  expect(waits("the signal a, the signal b and 3 more")).toBe(
    "It waits for the signal “a”, the signal “b” and 3 more.",
  )
})
