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
