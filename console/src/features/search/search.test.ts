import { expect, test } from "vitest"
import { around, type Found, linesOf, placeOf } from "./search"

const found = (part: Found["part"], more: Partial<Found> = {}): Found => ({
  execution: {} as Found["execution"],
  part,
  step: null,
  title: null,
  excerpt: "",
  text: "4711",
  ...more,
})

test("lines are read wherever the chunks are cut", async () => {
  const bytes = new TextEncoder().encode('{"a":"ü"}\n\n{"b":2}\n{"c":3}')
  const chunks = Array.from(bytes, (each) => Uint8Array.of(each))
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const each of chunks) controller.enqueue(each)
      controller.enqueue(Uint8Array.of(10))
      controller.close()
    },
  })
  const read = []
  for await (const each of linesOf(stream)) read.push(each)
  expect(read).toEqual([{ a: "ü" }, { b: 2 }, { c: 3 }])
})

test("what was found stands near the beginning of its line", () => {
  const excerpt = `${"x".repeat(80)}4711, and 4711 again`
  expect(around(found("event", { excerpt }), 4)).toEqual(["…xxxx", "4711", ", and 4711 again"])
  expect(around(found("event", { excerpt: "a 4711" }))).toEqual(["a ", "4711", ""])
  expect(around(found("event", { excerpt: "none" }))).toEqual(["none", "", ""])
})

test("a find leads to its place in the execution", () => {
  expect(placeOf(found("event"))).toEqual({ step: "trigger" })
  expect(placeOf(found("inputs", { step: "a/b" }))).toEqual({ step: "a/b", tab: "input" })
  expect(placeOf(found("result", { step: "a/b" }))).toEqual({ step: "a/b", tab: "output" })
  expect(placeOf(found("log", { step: "a/b" }))).toEqual({ view: "logs" })
  expect(placeOf(found("reference"))).toEqual({})
})
