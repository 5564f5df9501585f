import { ChangeSet } from "@codemirror/state"
import { expect, test } from "vitest"
import { patched } from "../draft/text"
import { TextSync } from "./sync"

const typed = (sync: TextSync, from: number, to: number, insert: string) =>
  sync.typed(ChangeSet.of({ from, to, insert }, sync.text.length))

test("what is typed while others edit is in both texts", () => {
  const sync = new TextSync("a: 1\nb: 2\n")
  typed(sync, 4, 4, "0")
  const shown = sync.receive("x: 0\na: 1\nb: 2\n")
  expect(shown).not.toBeNull()
  expect(sync.text).toBe("x: 0\na: 10\nb: 2\n")
  const { edits } = sync.send("x: 0\na: 1\nb: 2\n")
  expect(patched("x: 0\na: 1\nb: 2\n", edits)).toBe("x: 0\na: 10\nb: 2\n")
  typed(sync, 0, 0, "# ")
  expect(sync.receive("later")).toBeNull()
  sync.made()
  sync.receive("x: 0\na: 10\nb: 3\n")
  expect(sync.text).toBe("# x: 0\na: 10\nb: 3\n")
  expect(sync.clean).toBe(false)
})

test("what was not made is still there to be sent", () => {
  const sync = new TextSync("a\n")
  typed(sync, 1, 1, "b")
  sync.send("a\n")
  typed(sync, 2, 2, "c")
  sync.failed()
  expect(sync.text).toBe("abc\n")
  const { edits } = sync.send("a\n")
  expect(patched("a\n", edits)).toBe("abc\n")
  sync.made()
  expect(sync.clean).toBe(true)
})

test("what a reload interrupted goes on over a newer text", () => {
  const sync = TextSync.restored("z\na\nb\n", { base: "a\nb\n", typed: "a\nb1\n" })
  expect(sync.text).toBe("z\na\nb1\n")
})

test("line ends and characters beyond the plane stay", () => {
  const text = "a: 😀😀\r\nb: 2\r\n"
  const sync = new TextSync(text)
  typed(sync, sync.text.indexOf("\n"), sync.text.indexOf("\n"), "!\nc: 3")
  const { edits } = sync.send(text)
  expect(patched(text, edits)).toBe("a: 😀😀!\r\nc: 3\r\nb: 2\r\n")
})

test("many edits in any order end in one text", () => {
  let seed = 7
  const random = (most: number) => (seed = (seed * 48_271) % 2_147_483_647) % most
  for (let round = 0; round < 40; round++) {
    let server = "flows:\n  a: 1\n  b: 2\n"
    const sync = new TextSync(server)
    for (let step = 0; step < 30; step++) {
      const at = random(sync.text.length + 1)
      const to = Math.min(sync.text.length, at + random(3))
      if (random(3) > 0) typed(sync, at, to, "xyz\n".slice(random(4)))
      if (random(3) === 0) {
        const place = random(server.length + 1)
        server = `${server.slice(0, place)}S${server.slice(place)}`
        const before = sync.text
        const shown = sync.receive(server)
        if (shown !== null) {
          // The editor shows what the sync says that it does.
          let seen = ""
          let from = 0
          shown.iterChanges((a, b, _, __, put) => {
            seen += before.slice(from, a) + put.toString()
            from = b
          }, true)
          expect(seen + before.slice(from)).toBe(sync.text)
        }
      }
      if (random(4) === 0) {
        const { edits } = sync.send(server)
        server = patched(server, edits)
        sync.made()
        sync.receive(server)
      }
    }
    const { edits } = sync.send(server)
    server = patched(server, edits)
    sync.made()
    expect(sync.text).toBe(server)
  }
})
