import { api } from "~/api/client"
import type { Row, RunEnd } from "./rows"

/** What a run tells: a step that ended or began to wait, and at last how all of it did. */
export type Told = { kind: "row"; row: Row } | { kind: "end"; end: RunEnd }

/** An event of a stream of Server-Sent Events. */
export type SentEvent = { kind: string; data: string }

/** Cuts a stream of Server-Sent Events into its events, however its bytes come. */
export class EventReader {
  private rest = ""

  take(text: string): SentEvent[] {
    const parts = (this.rest + text).split("\n\n")
    this.rest = parts.pop() ?? ""
    return parts.map((part) => {
      const lines = part.split("\n")
      const of = (name: string) =>
        lines
          .filter((each) => each.startsWith(`${name}: `))
          .map((each) => each.slice(name.length + 2))
      return { kind: of("event")[0] ?? "", data: of("data").join("\n") }
    })
  }
}

/** Yield the events of a stream as they come. */
export async function* framesOf(
  body: ReadableStream<Uint8Array> | null | undefined,
): AsyncGenerator<SentEvent> {
  if (body == null) return
  const source = body.getReader()
  const text = new TextDecoder()
  const events = new EventReader()
  for (;;) {
    const { done, value } = await source.read()
    if (done) return
    yield* events.take(text.decode(value, { stream: true }))
  }
}

/** Run a flow of a draft; `tell` gets each step as it ends. True once it was told to its end. */
export async function runFlow(
  draft: string,
  body: string,
  signal: AbortSignal,
  tell: (told: Told) => void,
): Promise<boolean> {
  const { data } = await api.POST("/api/drafts/{draft}/test", {
    params: { path: { draft } },
    body: body as never,
    bodySerializer: () => body,
    parseAs: "stream",
    signal,
  })
  let ended = false
  for await (const { kind, data: text } of framesOf(data)) {
    if (kind === "row") tell({ kind, row: JSON.parse(text) as Row })
    else if (kind === "end") {
      ended = true
      tell({ kind, end: JSON.parse(text) as RunEnd })
    }
  }
  return ended
}
