/** A line of a diff, with its numbers in both files; null where the file does not have it. */
export type DiffLine = {
  kind: "same" | "added" | "removed"
  text: string
  before: number | null
  after: number | null
}
/** Lines that follow one another, with what stands around the changes. */
export type Hunk = { heading: string; lines: DiffLine[] }
/** A row of two sides: what was, and what is now in its place. */
export type Pair = { before: DiffLine | null; after: DiffLine | null }

const AROUND = 3
/** The most lines, of both sides multiplied, that are compared one by one. */
const MOST_COMPARED = 4_000_000

/** Compare two texts line by line: the changes, each with what stands around it. */
export function hunksBetween(before: string, after: string): Hunk[] {
  const lines = compared(before.split("\n"), after.split("\n"))
  const near = lines.map((_, at) =>
    lines.slice(Math.max(0, at - AROUND), at + AROUND + 1).some((each) => each.kind !== "same"),
  )
  const hunks: Hunk[] = []
  lines.forEach((line, at) => {
    if (near[at] !== true) return
    if (near[at - 1] !== true) hunks.push({ heading: "", lines: [] })
    hunks.at(-1)?.lines.push(line)
  })
  return hunks
}

function compared(before: string[], after: string[]): DiffLine[] {
  let head = 0
  while (head < Math.min(before.length, after.length) && before[head] === after[head]) head++
  let tail = 0
  const rest = Math.min(before.length, after.length) - head
  while (tail < rest && before.at(-1 - tail) === after.at(-1 - tail)) tail++
  const old = before.slice(head, before.length - tail)
  const now = after.slice(head, after.length - tail)
  // The length of what both have in common from a line of each on.
  const common = old.length * now.length > MOST_COMPARED ? null : commonOf(old, now)
  const lines: DiffLine[] = []
  const add = (kind: DiffLine["kind"], text: string, one: number | null, other: number | null) =>
    lines.push({ kind, text, before: one, after: other })
  before.slice(0, head).forEach((text, at) => add("same", text, at + 1, at + 1))
  let [i, j] = [0, 0]
  while (i < old.length || j < now.length) {
    const [left, right] = [old[i], now[j]]
    if (common !== null && left !== undefined && left === right) {
      add("same", left, head + ++i, head + ++j)
    } else if (
      left !== undefined &&
      (right === undefined ||
        common === null ||
        (common[i + 1]?.[j] ?? 0) >= (common[i]?.[j + 1] ?? 0))
    ) {
      add("removed", left, head + ++i, null)
    } else add("added", right ?? "", null, head + ++j)
  }
  const end = before.length - tail
  before
    .slice(end)
    .forEach((text, at) => add("same", text, end + at + 1, after.length - tail + at + 1))
  return lines
}

function commonOf(old: string[], now: string[]): Uint32Array[] {
  const common = Array.from({ length: old.length + 1 }, () => new Uint32Array(now.length + 1))
  for (let i = old.length - 1; i >= 0; i--) {
    const [row, next] = [common[i] as Uint32Array, common[i + 1] as Uint32Array]
    for (let j = now.length - 1; j >= 0; j--) {
      row[j] = old[i] === now[j] ? (next[j + 1] ?? 0) + 1 : Math.max(next[j] ?? 0, row[j + 1] ?? 0)
    }
  }
  return common
}

const HUNK = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/

/** Read a unified diff of one file. */
export function hunksOf(text: string): Hunk[] {
  const hunks: Hunk[] = []
  let before = 0
  let after = 0
  // The first two lines name the files.
  for (const line of text === "" ? [] : text.split("\n").slice(2)) {
    const found = HUNK.exec(line)
    if (found !== null) {
      before = Number(found[1])
      after = Number(found[2])
      hunks.push({ heading: line, lines: [] })
      continue
    }
    const hunk = hunks.at(-1)
    if (hunk === undefined) continue
    const rest = line.slice(1)
    if (line.startsWith("+")) {
      hunk.lines.push({ kind: "added", text: rest, before: null, after: after++ })
    } else if (line.startsWith("-")) {
      hunk.lines.push({ kind: "removed", text: rest, before: before++, after: null })
    } else {
      hunk.lines.push({ kind: "same", text: rest, before: before++, after: after++ })
    }
  }
  return hunks
}

/** Put what was removed beside what was added in its place. */
export function pairsOf(lines: readonly DiffLine[]): Pair[] {
  const pairs: Pair[] = []
  let removed: DiffLine[] = []
  let added: DiffLine[] = []
  const flush = () => {
    for (let at = 0; at < Math.max(removed.length, added.length); at++) {
      pairs.push({ before: removed[at] ?? null, after: added[at] ?? null })
    }
    removed = []
    added = []
  }
  for (const line of lines) {
    if (line.kind === "removed") {
      if (added.length > 0) flush()
      removed.push(line)
    } else if (line.kind === "added") added.push(line)
    else {
      flush()
      pairs.push({ before: line, after: line })
    }
  }
  flush()
  return pairs
}
