import { api } from "~/api/client"
import type { Row, RunEnd } from "./rows"

/** What a run tells: a step that ended or began to wait, and at last how all of it did. */
export type Told = { kind: "row"; row: Row } | { kind: "end"; end: RunEnd }

/** Cuts a stream of Server-Sent Events into its events, however its bytes come. */
export class EventReader {
  private rest = ""

  take(text: string): Told[] {
    const parts = (this.rest + text).split("\n\n")
    this.rest = parts.pop() ?? ""
    return parts.flatMap(toldOf)
  }
}

function toldOf(part: string): Told[] {
  const lines = part.split("\n")
  const of = (name: string) =>
    lines.filter((each) => each.startsWith(`${name}: `)).map((each) => each.slice(name.length + 2))
  const [kind] = of("event")
  const data = of("data").join("\n")
  if (kind === "row") return [{ kind, row: JSON.parse(data) as Row }]
  if (kind === "end") return [{ kind, end: JSON.parse(data) as RunEnd }]
  return []
}

/** Run a flow of a draft; `tell` gets each step as it ends. True once it was told to its end. */
export async function runFlow(
  draft: string,
  body: string,
  signal: AbortSignal,
  tell: (told: Told[]) => void,
): Promise<boolean> {
  const { data } = await api.POST("/api/drafts/{draft}/test", {
    params: { path: { draft } },
    body: body as never,
    bodySerializer: () => body,
    parseAs: "stream",
    signal,
  })
  if (data == null) return false
  const source = (data as ReadableStream<Uint8Array>).getReader()
  const text = new TextDecoder()
  const events = new EventReader()
  let ended = false
  for (;;) {
    const { done, value } = await source.read()
    if (done) return ended
    const told = events.take(text.decode(value, { stream: true }))
    ended ||= told.some((each) => each.kind === "end")
    if (told.length > 0) tell(told)
  }
}
