/** A JSON value as its text, so that its numbers keep every digit. */
export type JsonText = string & { readonly __json: unique symbol }

/** Parse JSON whose members of certain names come out as their text, at whatever depth they are. */
export function parseExact(text: string, names: ReadonlySet<string>): unknown {
  return JSON.parse(quoteMembers(text, names))
}

function quoteMembers(text: string, names: ReadonlySet<string>): string {
  const parts: string[] = []
  let copied = 0
  let at = 0
  while ((at = text.indexOf('"', at)) !== -1) {
    const end = endOfString(text, at)
    const value = skipSpace(text, end)
    if (text[value] === ":" && names.has(text.slice(at + 1, end - 1))) {
      const begin = skipSpace(text, value + 1)
      at = endOfValue(text, begin)
      const found = text.slice(begin, at)
      if (found !== "null") {
        parts.push(text.slice(copied, begin), JSON.stringify(found))
        copied = at
      }
    } else {
      at = end
    }
  }
  parts.push(text.slice(copied))
  return parts.join("")
}

function skipSpace(text: string, at: number): number {
  while (text.charCodeAt(at) <= 32) at++
  return at
}

function endOfString(text: string, at: number): number {
  for (let i = at + 1; i < text.length; i++) {
    if (text[i] === "\\") i++
    else if (text[i] === '"') return i + 1
  }
  return text.length
}

function endOfValue(text: string, at: number): number {
  let depth = 0
  for (let i = at; i < text.length; i++) {
    const each = text[i]
    if (each === '"') i = endOfString(text, i) - 1
    else if (each === "{" || each === "[") depth++
    else if (depth > 0 && (each === "}" || each === "]")) depth--
    else if (depth === 0 && (each === "," || each === "}" || each === "]")) return i
    if (depth === 0 && (each === "}" || each === "]" || each === '"')) return i + 1
  }
  return text.length
}

/** Return why and where a text is no JSON, in the browser's words and by line and column; null where it is JSON. */
export function faultOf(text: string): string | null {
  try {
    JSON.parse(text)
    return null
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const why = message.replace(
      /,? ?(\.\.\.)?".*" is not valid JSON$| in JSON at position .*$/s,
      "",
    )
    const before = text.slice(0, placeOfFault(text)).split("\n")
    return `${why} (line ${before.length} column ${(before.at(-1) ?? "").length + 1})`
  }
}

const STRING = /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[\da-fA-F]{4})[^"\\\u0000-\u001f]*)*"/y
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y

/** Return where a text ceases to be JSON, as not every browser says it; its length where it ends too early. */
function placeOfFault(text: string): number {
  const open: ("}" | "]")[] = []
  let at = 0
  let wanted: "value" | "name" | "next" = "value"
  let first = false // nothing is in the innermost yet: it may end
  const take = (pattern: RegExp) => {
    pattern.lastIndex = at
    const found = pattern.test(text)
    if (found) at = pattern.lastIndex
    return found
  }
  for (;;) {
    at = skipSpace(text, at)
    const each = text[at]
    const last = open.at(-1)
    if (each === last && each !== undefined && (first || wanted === "next")) {
      open.pop()
      at++
      wanted = "next"
    } else if (wanted === "next") {
      if (each !== "," || last === undefined) return at
      at++
      wanted = last === "}" ? "name" : "value"
    } else if (wanted === "name") {
      if (!take(STRING)) return at
      at = skipSpace(text, at)
      if (text[at] !== ":") return at
      at++
      wanted = "value"
    } else if (each === "{" || each === "[") {
      open.push(each === "{" ? "}" : "]")
      at++
      first = true
      wanted = each === "{" ? "name" : "value"
      continue
    } else {
      if (!take(STRING) && !take(SCALAR)) return at
      wanted = "next"
    }
    first = false
  }
}

export type Token = { kind: "key" | "text" | "number" | "word" | "mark" | "space"; text: string }

/** Lay JSON text out over lines of two spaces, as tokens; text that is no JSON comes back whole. */
export function layOut(text: string): Token[] | null {
  try {
    JSON.parse(text)
  } catch {
    return null
  }
  const found: Token[] = []
  let depth = 0
  const line = () => found.push({ kind: "space", text: `\n${"  ".repeat(depth)}` })
  for (let at = 0; at < text.length; at++) {
    const each = text.charAt(at)
    if (text.charCodeAt(at) <= 32) continue
    if (each === '"') {
      const end = endOfString(text, at)
      const isKey = text[skipSpace(text, end)] === ":"
      found.push({ kind: isKey ? "key" : "text", text: text.slice(at, end) })
      at = end - 1
    } else if (each === "{" || each === "[") {
      const next = skipSpace(text, at + 1)
      if (text[next] === "}" || text[next] === "]") {
        found.push({ kind: "mark", text: each + text.charAt(next) })
        at = next
      } else {
        found.push({ kind: "mark", text: each })
        depth++
        line()
      }
    } else if (each === "}" || each === "]") {
      depth--
      line()
      found.push({ kind: "mark", text: each })
    } else if (each === ",") {
      found.push({ kind: "mark", text: each })
      line()
    } else if (each === ":") {
      found.push({ kind: "mark", text: ": " })
    } else {
      let end = at
      while (end < text.length && !/[\s,\]}]/.test(text.charAt(end))) end++
      const word = text.slice(at, end)
      found.push({ kind: /^[-\d]/.test(word) ? "number" : "word", text: word })
      at = end - 1
    }
  }
  return found
}

/** Lay JSON text out as text. */
export function pretty(text: string): string {
  return (
    layOut(text)
      ?.map((each) => each.text)
      .join("") ?? text
  )
}

/** Return JSON text as one short line for a list: the bare text of a text, the first members of others. */
export function preview(text: string, most = 160): string {
  const line = text.startsWith('"') ? unquoted(text) : text
  const short = line.replace(/\s+/g, " ").trim()
  return short.length > most ? `${short.slice(0, most - 1)}…` : short
}

function unquoted(text: string): string {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === "string" ? value : text
  } catch {
    return text
  }
}
