/**
 * Reads the expressions that have an editor of their own: paths, texts with values in them, and
 * conditions. The grammar is a part of the server's (`halflap/lowcode/expressions`): what is not of
 * this part, however little, is a formula, and stays as it is written.
 */

export type Part = { text: string } | { path: string }

export type Operand =
  | { path: string }
  | { text: string }
  | { number: string }
  | { word: "true" | "false" | "null" }
  | { list: Operand[] }

export type Operator = "=" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "contains" | "holds"

/** `holds`: the value itself is true or false. */
export type Row = { left: string; operator: Operator; right: Operand | null }

export type Condition = { join: "and" | "or"; rows: Row[] }

export type Parsed =
  | { kind: "path"; path: string }
  | { kind: "text"; parts: Part[] }
  | { kind: "condition"; condition: Condition }
  | { kind: "formula" }

type Token = { kind: "name" | "text" | "number" | "mark"; value: string }

const SPACE = /[ \t\n\r\v]+/y
const NUMBER = /(?:0|[1-9][0-9]*)(?:\.[0-9]+)?/y
const NAME = /[\p{L}_][\p{L}\p{N}_]*/uy
/** A name ends at one of these; the server's may hold any other character, which are formulas here. */
const AFTER = /[ \t\n\r\v.[\]{}(),@#;:?+\-*/%|=<>^&!~]|$/y
const MARKS = ["!=", "<=", ">=", ".", "[", "]", "(", ")", ",", "-", "=", "<", ">", "&", "$contains"]
const REFUSED = ["..", ":=", "**", "~>", "?:", "??", "/*"]
const ESCAPES: Record<string, string> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
}
const WORDS = new Set(["true", "false", "null"])
const OPERATORS = new Set(["and", "or", "in"])
const MOST = 10_000
/** Half of a character. */
const LONE = /[\uD800-\uDFFF]/u

function match(pattern: RegExp, text: string, at: number): string | null {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0] ?? null
}

function readText(text: string, from: number): { value: string; end: number } | null {
  const quote = text.charAt(from)
  let value = ""
  for (let at = from + 1; at < text.length; at++) {
    const each = text.charAt(at)
    if (each === quote) return LONE.test(value) ? null : { value, end: at + 1 }
    if (each !== "\\") {
      value += each
      continue
    }
    at++
    const escape = text.charAt(at)
    if (escape === "u") {
      const digits = /^[0-9a-fA-F]{4}$/.exec(text.slice(at + 1, at + 5))
      if (digits === null) return null
      value += String.fromCharCode(parseInt(digits[0], 16))
      at += 4
    } else if (ESCAPES[escape] !== undefined) value += ESCAPES[escape]
    else return null
  }
  return null
}

function tokensOf(text: string): Token[] | null {
  const found: Token[] = []
  for (let at = 0; at < text.length;) {
    const space = match(SPACE, text, at)
    if (space !== null) {
      at += space.length
      continue
    }
    const each = text.charAt(at)
    if (each === '"' || each === "'") {
      const read = readText(text, at)
      if (read === null) return null
      found.push({ kind: "text", value: read.value })
      at = read.end
      continue
    }
    if (each === "`") {
      const end = text.indexOf("`", at + 1)
      const value = end < 0 ? "" : text.slice(at + 1, end)
      if (value === "") return null
      found.push({ kind: "name", value: text.slice(at, end + 1) })
      at = end + 1
      continue
    }
    const number = match(NUMBER, text, at)
    const name = number ?? match(NAME, text, at)
    if (name !== null) {
      if (number === null && match(AFTER, text, at + name.length) === null) return null
      if (number !== null && number.replace(/\D/g, "").length > 300) return null
      const word = OPERATORS.has(name) ? "mark" : "name"
      found.push({ kind: number === null ? word : "number", value: name })
      at += name.length
      continue
    }
    if (REFUSED.some((mark) => text.startsWith(mark, at))) return null
    const mark = MARKS.find((some) => text.startsWith(some, at))
    if (mark === undefined) return null
    found.push({ kind: "mark", value: mark })
    at += mark.length
  }
  return found
}

class Reader {
  private at = 0
  private readonly tokens: readonly Token[]

  constructor(tokens: readonly Token[]) {
    this.tokens = tokens
  }

  get ended(): boolean {
    return this.at >= this.tokens.length
  }

  private sees(mark: string, ahead = 0): boolean {
    const next = this.tokens[this.at + ahead]
    return next?.kind === "mark" && next.value === mark
  }

  private take(mark: string): boolean {
    if (!this.sees(mark)) return false
    this.at++
    return true
  }

  /** Read all of something, or nothing of it. */
  attempt<T>(read: () => T | null): T | null {
    const from = this.at
    const found = read()
    if (found === null) this.at = from
    return found
  }

  path(): string | null {
    const first = this.tokens[this.at]
    if (first?.kind !== "name" || WORDS.has(first.value)) return null
    this.at++
    let found = first.value
    for (;;) {
      if (this.take(".")) {
        const next = this.tokens[this.at]
        if (next?.kind !== "name" || WORDS.has(next.value)) return null
        this.at++
        found += `.${next.value}`
      } else if (this.take("[")) {
        const sign = this.take("-") ? "-" : ""
        const next = this.tokens[this.at]
        if (next?.kind !== "number" || !/^\d{1,9}$/.test(next.value)) return null
        this.at++
        if (!this.take("]")) return null
        found += `[${sign}${next.value}]`
      } else return found
    }
  }

  part(): Part | null {
    const next = this.tokens[this.at]
    if (next?.kind === "text") {
      this.at++
      return { text: next.value }
    }
    const path = this.path()
    return path === null ? null : { path }
  }

  /** `"Order " & event.number`: texts and paths. */
  parts(): Part[] | null {
    const found: Part[] = []
    do {
      const each = this.part()
      if (each === null) return null
      found.push(each)
    } while (this.take("&"))
    return this.ended ? found : null
  }

  operand(listed = true): Operand | null {
    const next = this.tokens[this.at]
    if (listed && this.take("[")) {
      const list: Operand[] = []
      do {
        const each = this.operand(false)
        if (each === null || "path" in each) return null
        list.push(each)
      } while (this.take(","))
      return this.take("]") ? { list } : null
    }
    if (next?.kind === "number") {
      this.at++
      return { number: next.value }
    }
    if (this.sees("-")) {
      const digits = this.tokens[this.at + 1]
      if (digits?.kind !== "number") return null
      this.at += 2
      return { number: `-${digits.value}` }
    }
    if (next?.kind === "name" && WORDS.has(next.value)) {
      this.at++
      return { word: next.value as "true" }
    }
    return this.part()
  }

  row(): Row | null {
    if (this.take("$contains")) {
      if (!this.take("(")) return null
      const left = this.path()
      if (left === null || !this.take(",")) return null
      const right = this.operand(false)
      if (right === null || (!("path" in right) && !("text" in right))) return null
      return this.take(")") ? { left, operator: "contains", right } : null
    }
    const left = this.path()
    if (left === null) return null
    const operator = (["!=", "<=", ">=", "=", "<", ">", "in"] as const).find((each) =>
      this.take(each),
    )
    if (operator === undefined) return { left, operator: "holds", right: null }
    const right = this.operand(operator === "in")
    if (right === null) return null
    // `"a" in "a"` is one of one to JSONata, which the rows do not say.
    if (operator === "in" && !("list" in right) && !("path" in right)) return null
    return { left, operator, right }
  }

  condition(): Condition | null {
    const rows: Row[] = []
    let join: "and" | "or" | null = null
    for (;;) {
      const row = this.row()
      if (row === null) return null
      rows.push(row)
      if (this.ended) return { join: join ?? "and", rows }
      const next = this.take("and") ? "and" : this.take("or") ? "or" : null
      if (next === null || (join !== null && join !== next)) return null
      join = next
    }
  }
}

/** Read an expression, without its `=`. */
export function parse(expression: string): Parsed {
  const tokens = expression.length > MOST ? null : tokensOf(expression)
  if (tokens === null || tokens.length === 0) return { kind: "formula" }
  const reader = new Reader(tokens)
  const parts = reader.attempt(() => reader.parts())
  if (parts !== null) {
    const [first] = parts
    return parts.length === 1 && first !== undefined && "path" in first
      ? { kind: "path", path: first.path }
      : { kind: "text", parts }
  }
  const condition = reader.attempt(() => reader.condition())
  return condition === null ? { kind: "formula" } : { kind: "condition", condition }
}

/** Read an expression as a condition, of which a path alone is one; null where it is none. */
export function conditionOf(expression: string): Condition | null {
  const found = parse(expression)
  if (found.kind === "condition") return found.condition
  if (found.kind !== "path") return null
  return { join: "and", rows: [{ left: found.path, operator: "holds", right: null }] }
}

/** Return true of a text that is one path. */
export const isPath = (text: string): boolean => parse(text).kind === "path"

/** A member's name as a path has it. */
export function step(name: string): string | null {
  if (/^[\p{L}_][\p{L}\p{N}_]*$/u.test(name) && !WORDS.has(name) && !OPERATORS.has(name))
    return name
  return name === "" || name.includes("`") ? null : `\`${name}\``
}

// Writing ------------------------------------------------------------------------------------------

export function writtenParts(parts: readonly Part[]): string {
  return parts.map((each) => ("path" in each ? each.path : JSON.stringify(each.text))).join(" & ")
}

function writtenOperand(operand: Operand): string {
  if ("path" in operand) return operand.path
  if ("text" in operand) return JSON.stringify(operand.text)
  if ("number" in operand) return operand.number
  if ("word" in operand) return operand.word
  return `[${operand.list.map(writtenOperand).join(", ")}]`
}

export function writtenCondition({ join, rows }: Condition): string {
  return rows
    .map(({ left, operator, right }) => {
      if (right === null || operator === "holds") return left
      const other = writtenOperand(right)
      return operator === "contains"
        ? `$contains(${left}, ${other})`
        : `${left} ${operator} ${other}`
    })
    .join(` ${join} `)
}

/** Write what was read; a formula is null, as its text is. */
export function written(parsed: Parsed): string | null {
  switch (parsed.kind) {
    case "path":
      return parsed.path
    case "text":
      return writtenParts(parsed.parts)
    case "condition":
      return writtenCondition(parsed.condition)
    case "formula":
      return null
  }
}
