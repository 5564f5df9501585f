import { beforeAll, expect, test } from "vitest"
import { i18n } from "~/phrases"
import type { Execution, Failure } from "~/api/execution"
import { statusFirst, whyOf } from "~/features/executions/columns"
import { Linked } from "./linked"
import { sentenceOf } from "./sentence"
import { pairedBy } from "./step"

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
  expect(sentenceOf(execution({}), 0, { ended: 200, failed: 3 })).toBe(
    "It succeeded, though 3 of 200 items failed.",
  )
})

test("a fault in the flow's own code says its class", () => {
  const failure = { kind: "KeyError", message: "'total'", step: "", trace: "  File…" } as Failure
  expect(sentenceOf(execution({ state: "failed", failure }))).toBe("KeyError: 'total'")
})

test("a failure whose message is hidden says its cause", () => {
  const cause = "UpstreamError at shop.create (422)"
  const failure = { kind: "UpstreamError", message: "", cause, step: "", trace: "" } as Failure
  expect(sentenceOf(execution({ state: "failed", failure }))).toBe(cause)
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

test("the executions that a sentence names are links", () => {
  const id = "exe_01m8pkje0me80t76kphb2tjn1p"
  const parts = Linked({ text: `echo: contact 7 is as ${id} left it, not exe_1` })
  const [before, link, after] = parts
  expect([before, after]).toEqual(["echo: contact 7 is as ", " left it, not exe_1"])
  expect(link).toMatchObject({ props: { params: { execution: id }, children: id } })
  expect(Linked({ text: "It succeeded." })).toEqual(["It succeeded."])
})

test("a lookup of a pair leads to the record that it found", () => {
  const step = (kind: string, text: string | null, cut = false) =>
    pairedBy({ kind, result: text === null ? null : { text, size: 9, cut } })
  expect(step("pair", '"0038"')).toBe("0038")
  expect(step("action", '"0038"')).toBeNull()
  for (const none of ["null", "", null]) expect(step("pair", none)).toBeNull()
  expect(step("pair", '"00', true)).toBeNull()
})
