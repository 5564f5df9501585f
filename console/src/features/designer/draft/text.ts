import type { TextEdit } from "./types"

type Position = readonly number[]

/** Return the place in a text of a line and a column, which count characters from 1. */
export function offsetOf(text: string, position: Position): number {
  const [line = 1, column = 1] = position
  let start = 0
  for (let at = 1; at < line; at++) {
    const next = text.indexOf("\n", start)
    if (next === -1) return text.length
    start = next + 1
  }
  return start + unitsIn(text, start, column - 1)
}

/** Return the line and column of a place in a text, as the server counts them. */
export function positionOf(text: string, offset: number): [number, number] {
  const start = text.lastIndexOf("\n", offset - 1) + 1
  let line = 1
  for (let at = text.indexOf("\n"); at !== -1 && at < start; at = text.indexOf("\n", at + 1)) line++
  let column = 1
  for (let at = start; at < offset; column++) at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1
  return [line, column]
}

/** Make patches of a text, each after the one before it. */
export function patched(text: string, patches: readonly TextEdit[]): string {
  for (const { start, end, text: put } of patches) {
    text = text.slice(0, offsetOf(text, start)) + put + text.slice(offsetOf(text, end))
  }
  return text
}

/** Return the edit that makes one text the other; null where they are the same. */
export function differenceOf(before: string, after: string): TextEdit | null {
  if (before === after) return null
  const most = Math.min(before.length, after.length)
  let first = 0
  while (first < most && before[first] === after[first]) first++
  let last = 0
  while (last < most - first && before.at(-1 - last) === after.at(-1 - last)) last++
  // No half of a character is cut off.
  if (isLow(before, first) || isLow(after, first)) first--
  if (isLow(before, before.length - last) || isLow(after, after.length - last)) last--
  return {
    op: "text",
    start: positionOf(before, first),
    end: positionOf(before, before.length - last),
    text: after.slice(first, after.length - last),
  }
}

/** Return on which line one stands after patches, that stood on another before. */
export function movedLine(line: number, patches: readonly TextEdit[]): number {
  for (const { start, end, text } of patches) {
    const [first, last] = [start[0], end[0]]
    if (line < first || (line === first && last === first && end[1] > 1)) continue
    if (line >= last) line += first - last + text.split("\n").length - 1
  }
  return line
}

function unitsIn(text: string, start: number, characters: number): number {
  let at = start
  for (let n = 0; n < characters && at < text.length && text[at] !== "\n"; n++) {
    at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1
  }
  return at - start
}

function isLow(text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  return code >= 0xdc00 && code <= 0xdfff
}
