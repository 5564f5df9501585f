import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { Live, type News } from "./live"

const PING_MS = 20
const opened: FakeSource[] = []

class FakeSource extends EventTarget {
  closed = false
  onopen: (() => void) | undefined
  constructor() {
    super()
    opened.push(this)
    setTimeout(() => this.onopen?.(), 0)
  }
  close() {
    this.closed = true
  }
}

const over: (() => void)[] = []
const page = () =>
  Object.assign(new EventTarget(), { setTimeout, clearTimeout, setInterval, clearInterval })

/** Join in a page of its own, as the browser has it. */
function join() {
  const window = page()
  vi.stubGlobal("window", window)
  const live = new Live(PING_MS)
  const heard: News[] = []
  live.listen((news) => heard.push(news))
  over.push(live.start())
  return { live, heard, window }
}

beforeEach(() => {
  opened.length = 0
  vi.stubGlobal("EventSource", FakeSource)
  Object.defineProperty(navigator, "onLine", { value: true, configurable: true })
  vi.stubGlobal("document", Object.assign(new EventTarget(), { hidden: false }))
})

afterEach(() => {
  for (const each of over.splice(0)) each()
  vi.unstubAllGlobals()
})

test("a page that the browser puts away gives up the stream, and asks for it again as it is back", async () => {
  const first = join()
  await vi.waitFor(() => expect(opened).toHaveLength(1))
  const second = join()
  first.window.dispatchEvent(new Event("pagehide"))
  await vi.waitFor(() => expect(opened).toHaveLength(2))
  expect(opened.map((each) => each.closed)).toEqual([true, false])

  first.heard.length = 0
  first.window.dispatchEvent(new Event("pageshow"))
  expect(first.heard).toContainEqual({ kind: "missed" })
  second.window.dispatchEvent(new Event("pagehide"))
  await vi.waitFor(() => expect(opened).toHaveLength(3))
})

test("a page that leads and falls silent loses the stream, and the others say so until they have it", async () => {
  const first = join()
  await vi.waitFor(() => expect(opened).toHaveLength(1))
  const second = join()
  await new Promise((resolve) => setTimeout(resolve, 10 * PING_MS))
  expect(opened).toHaveLength(1) // it is answered

  const { channel } = first.live as unknown as { channel: BroadcastChannel }
  channel.onmessage = null
  await vi.waitFor(() => expect(opened).toHaveLength(2))
  expect(second.heard).toContainEqual({ kind: "online", online: false })
  await vi.waitFor(() => expect(second.live.online).toBe(true))
  await vi.waitFor(() => expect(opened[0]?.closed).toBe(true))
})
