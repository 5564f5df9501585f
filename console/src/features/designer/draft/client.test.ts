import { expect, test, vi } from "vitest"
import { ApiError, Offline } from "~/api/problem"
import { flowOf } from "../tree/testing"
import { spotsIn } from "../tree/walk"
import { anchored, resolved } from "./anchor"
import { DraftClient, merged, type Server, type Store } from "./client"
import { Digits, parseDigits } from "./digits"
import { predicted } from "./predict"
import { differenceOf, offsetOf, patched, positionOf } from "./text"
import type { Changes, Draft, DraftEdit, FlowOutline } from "./types"

const LIST = ["flows", "one", "steps"]

function draftOf(flow: FlowOutline): Draft {
  return {
    id: "drf_1",
    integration: "orders",
    base: null,
    components: null,
    revision: 1,
    text: "name: orders\n",
    flows: [flow],
    unreadable: null,
    findings: [],
    editors: [],
    writers: [],
    made_at: "",
    changed_at: "",
    changed_by: "",
  }
}

/** A server that makes what is foreseen, and gives its own keys. */
class Fake implements Server {
  flows: readonly FlowOutline[]
  revision = 1
  count = 100
  sent: { revision: number; ops: DraftEdit[]; token: string }[] = []
  /** Errors to be answered next, in the place of an answer. */
  errors: Error[] = []
  taken: string[] = []

  constructor(flow: FlowOutline) {
    this.flows = [flow]
  }

  /** The flows before each edit, and behind each undo. */
  readonly past: (readonly FlowOutline[])[] = []
  readonly future: (readonly FlowOutline[])[] = []
  /** Undo and redo wait for it. */
  held: Promise<void> = Promise.resolve()

  make(ops: readonly DraftEdit[]): void {
    this.past.push(this.flows)
    for (const each of ops) this.flows = predicted(this.flows, each, () => `n${++this.count}`)
    this.revision++
  }

  changes(): Promise<Changes> {
    const { revision, flows } = this
    return Promise.resolve({
      revision,
      flows: [...flows],
      gone: [],
      moved: [],
      patches: [],
      unreadable: null,
    })
  }

  edit(revision: number, ops: DraftEdit[], _group: string, token: string): Promise<Changes> {
    this.sent.push({ revision, ops, token })
    const error = this.errors.shift()
    if (error !== undefined) return Promise.reject(error)
    this.make(ops)
    return this.changes()
  }

  async again(kind: "undo" | "redo"): Promise<Changes> {
    await this.held
    const [from, to] = kind === "undo" ? [this.past, this.future] : [this.future, this.past]
    const flows = from.pop()
    if (flows !== undefined) {
      to.push(this.flows)
      this.flows = structuredClone(flows)
      this.revision++
    }
    return this.changes()
  }

  load(): Promise<Draft> {
    const [flow] = this.flows
    return Promise.resolve({ ...draftOf(flow as FlowOutline), revision: this.revision })
  }

  findings() {
    return Promise.resolve({ revision: this.revision, items: [] })
  }

  take(flow: string): Promise<unknown> {
    this.taken.push(flow)
    return Promise.resolve()
  }
}

function memory(): Store & { kept: string } {
  return {
    kept: "[]",
    read() {
      return JSON.parse(this.kept) as ReturnType<Store["read"]>
    },
    write(kept) {
      this.kept = JSON.stringify(kept)
    },
  }
}

function opened(steps: unknown[], store = memory()) {
  const flow = flowOf(steps)
  const server = new Fake(flow)
  const client = new DraftClient(draftOf(flow), server, store)
  return { client, server, store, stop: client.start() }
}

const logs = (flows: readonly FlowOutline[]) =>
  flows.flatMap((flow) => [...spotsIn(flow)].map(({ node }) => node.fields["log"]))

const refusal = (kind: string, draft: Record<string, unknown>) =>
  new ApiError({ type: "", title: "", status: 409, detail: kind, kind: kind, draft })

test("an edit is seen before it is sent, and its new step gets the server's key", async () => {
  const { client, server, stop } = opened([{ log: "a" }])
  const made = client.edit([{ op: "insert", path: LIST, at: 1, value: { log: "b" } }])
  expect(logs(client.state.flows)).toEqual(["a", "b"])
  expect(client.state.pending).toBe(1)
  const foreseen = [...spotsIn(client.state.flows[0] as FlowOutline)][1]?.node.key
  // Another one, of the step that the server does not know yet.
  const next = client.edit([{ op: "set", path: [...LIST, 1, "log"], value: "c" }])
  const outcome = await made
  expect(outcome.made && outcome.keys.get(foreseen ?? "")).toBe("n101")
  await next
  expect(logs(server.flows)).toEqual(["a", "c"])
  expect(server.sent.map((each) => each.revision)).toEqual([1, 2])
  expect(client.state).toMatchObject({ pending: 0, revision: 3 })
  stop()
})

test("an edit that waits stays about its step, whatever others put before it", async () => {
  const { client, server, stop } = opened([{ log: "a" }, { log: "b" }])
  server.make([{ op: "insert", path: LIST, at: 0, value: { log: "theirs" } }])
  // The first is sent for what was seen; a real server makes it beside theirs.
  const edit = server.edit.bind(server)
  server.edit = (revision, ops, group, token) => {
    server.edit = edit
    const moved = ops.map((op) => ({ ...op, path: [...LIST, 1, "log"] }) as DraftEdit)
    return edit(revision, moved, group, token)
  }
  const one = client.edit([{ op: "set", path: [...LIST, 0, "log"], value: "A" }])
  const other = client.edit([{ op: "delete", path: [...LIST, 1] }])
  await one
  await other
  expect(logs(server.flows)).toEqual(["theirs", "A"])
  stop()
})

test("without a connection edits are kept, and sent once it is back", async () => {
  const { client, server, store, stop } = opened([{ log: "a" }])
  server.errors.push(new Offline("away"))
  void client.edit([{ op: "set", path: [...LIST, 0, "log"], value: "b" }])
  await expect.poll(() => client.state.online).toBe(false)
  expect(logs(client.state.flows)).toEqual(["b"])
  expect(store.read()).toHaveLength(1)
  client.retry()
  await expect.poll(() => client.state.pending).toBe(0)
  expect(client.state.online).toBe(true)
  expect(new Set(server.sent.map((each) => each.token)).size).toBe(1)
  expect(store.read()).toEqual([])
  stop()
})

test("a reload sends what the page before it had not, for the revision that it was for", async () => {
  const store = memory()
  const before = opened([{ log: "a" }], store)
  before.server.errors.push(new Offline("away"))
  void before.client.edit([{ op: "set", path: [...LIST, 0, "log"], value: "b" }])
  await expect.poll(() => before.client.state.online).toBe(false)
  before.stop()
  const { client, server, stop } = opened([{ log: "a" }], store)
  await expect.poll(() => client.state.pending).toBe(0)
  expect(logs(server.flows)).toEqual(["b"])
  expect(server.sent[0]?.token).toBe(before.server.sent[0]?.token)
  stop()
})

test("a stale edit waits for a decision, and is made on top of theirs or dropped", async () => {
  const { client, server, stop } = opened([{ log: "a" }])
  const since = [{ revision: 2, label: "Bea", flows: ["one"], at: "" }]
  server.errors.push(refusal("StaleEdit", { revision: 2, since }))
  const mine = client.edit([{ op: "set", path: [...LIST, 0, "log"], value: "mine" }])
  server.make([{ op: "set", path: [...LIST, 0, "log"], value: "theirs" }])
  await expect.poll(() => client.state.refusal?.kind).toBe("stale")
  await expect.poll(() => client.state.revision).toBe(2)
  expect(client.state.refusal?.since?.[0]?.label).toBe("Bea")
  await client.decide("again")
  expect((await mine).made).toBe(true)
  expect(logs(server.flows)).toEqual(["mine"])
  server.errors.push(
    refusal("FlowHeld", { writer: { flow: "one", label: "Bea", lease_until: "" } }),
  )
  const second = client.edit([{ op: "set", path: [...LIST, 0, "log"], value: "dropped" }])
  await expect.poll(() => client.state.refusal?.kind).toBe("held")
  await client.decide("drop")
  expect((await second).made).toBe(false)
  await expect.poll(() => logs(client.state.flows)).toEqual(["mine"])
  server.errors.push(
    refusal("FlowHeld", { writer: { flow: "one", label: "Bea", lease_until: "" } }),
  )
  const third = client.edit([{ op: "set", path: [...LIST, 0, "log"], value: "taken" }])
  await expect.poll(() => client.state.refusal?.kind).toBe("held")
  await client.decide("take")
  expect((await third).made).toBe(true)
  expect(server.taken).toEqual(["one"])
  stop()
})

test("what cannot be written is taken back, with the edits of its steps and no others", async () => {
  const { client, server, stop } = opened([{ log: "a" }])
  server.errors.push(
    new ApiError({ type: "", title: "", status: 422, detail: "no", kind: "UnwritableEdit" }),
  )
  const one = client.edit([{ op: "insert", path: LIST, at: 0, value: { log: "b" } }])
  const its = client.edit([{ op: "set", path: [...LIST, 0, "log"], value: "c" }])
  const another = client.edit([{ op: "set", path: [...LIST, 1, "log"], value: "d" }])
  expect((await one).made).toBe(false)
  expect((await its).made).toBe(false)
  expect((await another).made).toBe(true)
  expect(logs(client.state.flows)).toEqual(["d"])
  expect(server.sent).toHaveLength(2)
  stop()
})

test("what others do comes in", async () => {
  const { client, server, stop } = opened([{ log: "a" }])
  server.make([{ op: "insert", path: LIST, at: 0, value: { log: "theirs" } }])
  client.hear({
    draft: "drf_1",
    revision: 2,
    changed_by: "Bea",
    editors: [],
    writers: [],
    components: null,
  })
  await expect.poll(() => logs(client.state.flows)).toEqual(["theirs", "a"])
  client.hear({
    draft: "drf_1",
    revision: null,
    changed_by: "",
    editors: [],
    writers: [],
    components: null,
  })
  expect(client.state.gone).toBe(true)
  stop()
})

test("moves, wraps, copies and deletions are foreseen as the server makes them", () => {
  const flows = [flowOf([{ log: "a" }, { log: "b" }, { for: "x", in: "=y", do: [{ log: "c" }] }])]
  let count = 0
  const name = () => `new${++count}`
  const after = (...edits: DraftEdit[]) =>
    logs(edits.reduce<readonly FlowOutline[]>((now, each) => predicted(now, each, name), flows))
  const inner = [...LIST, 2, "do"]
  expect(after({ op: "move", path: [...LIST, 0], to: LIST, at: 2 })).toEqual([
    "b",
    "a",
    undefined,
    "c",
  ])
  expect(after({ op: "move", path: [...LIST, 0], to: inner, at: 1 })).toEqual([
    "b",
    undefined,
    "c",
    "a",
  ])
  expect(after({ op: "move", path: [...inner, 0], to: LIST, at: 0 })).toEqual([
    "c",
    "a",
    "b",
    undefined,
  ])
  const wrap: DraftEdit = {
    op: "wrap",
    path: [...LIST, 0],
    count: 2,
    value: { try: [], catch: [] },
    into: ["try"],
  }
  expect(after(wrap)).toEqual([undefined, "a", "b", undefined, "c"])
  expect(after({ op: "duplicate", path: [...LIST, 1] })).toEqual(["a", "b", "b", undefined, "c"])
  expect(after({ op: "delete", path: [...LIST, 2] })).toEqual(["a", "b"])
  // Each step stands at its address.
  const [flow] = predicted(flows, wrap, name)
  for (const { node, list, at } of spotsIn(flow as FlowOutline)) {
    expect(node.path).toEqual([...list.path, at])
  }
})

test("flows change places and names before the server says so", () => {
  const [one, two, three] = ["a", "b", "c"].map((name) => ({
    ...flowOf([{ log: name }]),
    name,
    path: ["flows", name],
  }))
  const flows = [one, two, three] as FlowOutline[]
  const order = (edit: DraftEdit) =>
    predicted(flows, edit, () => "")
      .map((each) => each.name)
      .join("")
  expect(order({ op: "reorder", path: ["flows", "c"], before: "a" })).toBe("cab")
  expect(order({ op: "reorder", path: ["flows", "a"], before: null })).toBe("bca")
  expect(order({ op: "rename_flow", name: "b", to: "x" })).toBe("axc")
})

test("a batch of edits is about the same steps once others have moved them", () => {
  const flows = [flowOf([{ log: "a" }, { log: "b" }, { log: "c" }])]
  const edits = anchored(
    flows,
    [
      { op: "insert", path: LIST, at: 2, value: { log: "new" } },
      { op: "set", path: [...LIST, 2, "log"], value: "named" },
      { op: "move", path: [...LIST, 0], to: LIST, at: 4 },
    ],
    "t",
  )
  const theirs = predicted(
    flows,
    { op: "insert", path: LIST, at: 0, value: { log: "0" } },
    () => "n9",
  )
  expect(logs(resolved(theirs, edits, "t").flows)).toEqual(["0", "b", "named", "c", "a"])
  const gone = predicted(flows, { op: "delete", path: [...LIST, 0] }, () => "")
  expect(() => resolved(gone, edits, "t")).toThrow("deleted")
})

test("patches count characters, and a difference is the patch that makes it", () => {
  const text = "a: 😀b\nc: d\n"
  expect(text.slice(offsetOf(text, [1, 5]), offsetOf(text, [2, 1]))).toBe("b\n")
  expect(positionOf(text, text.indexOf("b"))).toEqual([1, 5])
  for (const other of ["a: 😁b\nc: d\n", "", "a: 😀b\n\nc: d\n", "a: 😀b\nc: dd\n"]) {
    const edit = differenceOf(text, other)
    expect(edit === null ? text : patched(text, [edit])).toBe(other)
  }
  expect(differenceOf(text, text)).toBeNull()
})

test("a flow that another one's edit moves down knows its lines", () => {
  const one = flowOf([{ log: "a" }])
  const other = { ...flowOf([]), name: "other", place: { ...one.place, line: 20, end_line: 22 } }
  const patch = { op: "text" as const, start: [3, 1], end: [3, 1], text: "x\ny\n" }
  const changes = { revision: 2, gone: [], moved: [], unreadable: null, flows: [one] }
  const found = merged([one, other], { ...changes, patches: [patch as never] })
  expect(found.map((each) => [each.name, each.place.line])).toEqual([
    ["one", 1],
    ["other", 22],
  ])
})

test("a number keeps its digits", () => {
  const parsed = parseDigits('{"a": 12345678901234567890, "b": 9.10, "c": [0.1, 1e3]}') as {
    a: Digits
    b: Digits
  }
  expect(parsed.a).toBeInstanceOf(Digits)
  expect(parsed.b).toEqual(new Digits("9.10"))
  expect(JSON.stringify(parsed)).toBe('{"a":12345678901234567890,"b":9.10,"c":[0.1,1e3]}')
})

test("undo and redo are seen before the server has answered, as far as the edits were made here", async () => {
  const { client, server, stop } = opened([{ log: "a" }, { log: "b" }, { log: "c" }])
  const shown = () => logs(client.snapshot().flows)
  await client.edit([{ op: "delete", path: [...LIST, 2] }])
  await client.edit([{ op: "delete", path: [...LIST, 1] }])
  expect(shown()).toEqual(["a"])
  let go: () => void = () => undefined
  server.held = new Promise((resolve) => (go = resolve))
  const undone = [client.undo("undo"), client.undo("undo")]
  expect(shown()).toEqual(["a", "b", "c"])
  const redone = client.undo("redo")
  expect(shown()).toEqual(["a", "b"])
  const edited = client.edit([{ op: "delete", path: [...LIST, 0] }])
  const last = client.undo("undo")
  expect(shown()).toEqual(["a", "b"])
  go()
  await Promise.all([...undone, redone, edited, last])
  expect(shown()).toEqual(["a", "b"])
  expect(logs(server.flows)).toEqual(["a", "b"])

  // What somebody else did is not taken back, and what is, the server says.
  server.make([{ op: "delete", path: [...LIST, 0] }])
  client.sync()
  await vi.waitFor(() => expect(shown()).toEqual(["b"]))
  server.held = new Promise((resolve) => (go = resolve))
  const asked = client.undo("undo")
  expect(shown()).toEqual(["b"])
  go()
  await asked
  stop()
})

test("what was typed without a pause is taken back at once", async () => {
  const { client, server, stop } = opened([{ log: "a" }])
  const type = (text: string) =>
    client.edit([{ op: "set", path: [...LIST, 0, "log"], value: text }], "t")
  await type("ab")
  await type("abc")
  server.held = new Promise(() => undefined)
  void client.undo("undo")
  expect(logs(client.snapshot().flows)).toEqual(["a"])
  stop()
})
