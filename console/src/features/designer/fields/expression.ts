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

/** How a part of a condition is written: its text, until it is edited, and what stands before it. */
type Source = { source?: string | undefined; gap?: string }

/** `holds`: the value itself is true or false. */
export type Row = { left: string; operator: Operator; right: Operand | null } & Source

/** Rows and groups that share a joiner; `parens` where the text has them round it. */
export type Condition = { join: "and" | "or"; items: Item[]; parens?: boolean } & Source

export type Item = Row | Condition

export const NO_CONDITION: Condition = { join: "and", items: [] }

export type Parsed =
  | { kind: "path"; path: string }
  | { kind: "text"; parts: Part[] }
  | { kind: "condition"; condition: Condition }
  | { kind: "formula" }

type Token = { kind: "name" | "text" | "number" | "mark"; value: string; from: number; to: number }

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
const DEEPEST = 8
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
  const push = (kind: Token["kind"], value: string, from: number, to: number) => {
    found.push({ kind, value, from, to })
    return to
  }
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
      at = push("text", read.value, at, read.end)
      continue
    }
    if (each === "`") {
      const end = text.indexOf("`", at + 1)
      const value = end < 0 ? "" : text.slice(at + 1, end)
      if (value === "") return null
      at = push("name", text.slice(at, end + 1), at, end + 1)
      continue
    }
    const number = match(NUMBER, text, at)
    const name = number ?? match(NAME, text, at)
    if (name !== null) {
      if (number === null && match(AFTER, text, at + name.length) === null) return null
      if (number !== null && number.replace(/\D/g, "").length > 300) return null
      const word = OPERATORS.has(name) ? "mark" : "name"
      at = push(number === null ? word : "number", name, at, at + name.length)
      continue
    }
    if (REFUSED.some((mark) => text.startsWith(mark, at))) return null
    const mark = MARKS.find((some) => text.startsWith(some, at))
    if (mark === undefined) return null
    at = push("mark", mark, at, at + mark.length)
  }
  return found
}

class Reader {
  private at = 0
  private readonly text: string
  private readonly tokens: readonly Token[]

  constructor(text: string, tokens: readonly Token[]) {
    this.text = text
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

  /** A row or a group in parentheses, with the text that it has. */
  item(depth: number): Item | null {
    const [before, joiner, first] = [-2, -1, 0].map((ahead) => this.tokens[this.at + ahead])
    const found = this.take("(") ? this.group(depth + 1) : this.row()
    const last = this.tokens[this.at - 1]
    if (found === null || first === undefined || last === undefined) return null
    found.source = this.text.slice(first.from, last.to)
    if (joiner?.kind === "mark" && ["and", "or"].includes(joiner.value))
      found.gap = this.text.slice(before?.to, first.from)
    return found
  }

  private group(depth: number): Item | null {
    const found = depth > DEEPEST ? null : this.joined("or", depth)
    if (found === null || !this.take(")")) return null
    return "items" in found ? { ...found, parens: true } : found
  }

  /** What `or` joins, each of which may be what `and` joins, as the server binds them. */
  joined(join: "and" | "or", depth: number): Item | null {
    const read = () => (join === "or" ? this.joined("and", depth) : this.item(depth))
    const from = this.at
    const first = read()
    if (first === null) return null
    const items = [first]
    while (this.take(join)) {
      const next = read()
      if (next === null) return null
      items.push(next)
    }
    if (items.length === 1) return first
    const [start, end] = [this.tokens[from], this.tokens[this.at - 1]]
    const found: Condition = { join, items, source: this.text.slice(start?.from, end?.to) }
    return first.gap === undefined ? found : { ...found, gap: first.gap }
  }

  condition(): Condition | null {
    const found = this.joined("or", 0)
    if (found === null || !this.ended) return null
    if ("items" in found) return found
    // A path alone is a path, in parentheses too.
    const alone = found.operator === "holds" && found.source !== found.left
    return alone ? null : { join: "and", items: [found], source: found.source }
  }
}

/** Read an expression, without its `=`. */
export function parse(expression: string): Parsed {
  const tokens = expression.length > MOST ? null : tokensOf(expression)
  if (tokens === null || tokens.length === 0) return { kind: "formula" }
  const reader = new Reader(expression, tokens)
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
  return { join: "and", items: [{ left: found.path, operator: "holds", right: null }] }
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

function writtenRow({ left, operator, right }: Row): string {
  if (right === null || operator === "holds") return left
  const other = writtenOperand(right)
  return operator === "contains" ? `$contains(${left}, ${other})` : `${left} ${operator} ${other}`
}

function writtenItem(item: Item, within: Condition): string {
  if (!("items" in item)) return item.source ?? writtenRow(item)
  const binds = within.join === "or" && item.join === "and"
  const text = writtenCondition(item)
  return item.parens === true || binds ? text : `(${text})`
}

/** Write a condition; what was not edited keeps its text. */
export function writtenCondition(condition: Condition): string {
  if (condition.source !== undefined) return condition.source
  const { join, items, parens = false } = condition
  const text = items
    .map((item, at) => {
      const gap = /^\s+\S+\s+$/.test(item.gap ?? "") ? item.gap?.replace(/\S+/, join) : undefined
      return (at === 0 ? "" : (gap ?? ` ${join} `)) + writtenItem(item, condition)
    })
    .join("")
  return parens ? `(${text})` : text
}

// Editing ------------------------------------------------------------------------------------------

/**
 * Replace the item at a place of a condition, or remove it (null). Its text and that of all round
 * it is written anew, what stands beside it is not. A group that is left with one item is that item.
 */
export function withItem(condition: Condition, at: number, next: Item | null): Condition | null {
  const only = next !== null && "items" in next && next.items.length === 1 ? next.items[0] : next
  const items = condition.items.flatMap((each, i) => {
    if (i !== at) return [each]
    if (only === null || only === undefined) return []
    return [{ ...only, source: only === next ? undefined : only.source, ...gapOf(each) }]
  })
  const [first] = items
  if (first === undefined) return null
  const group = items.length === 1 && "items" in first ? first : { ...condition, items }
  return { ...group, source: undefined }
}

/** Add an item at the end of a condition. */
export const withAdded = (condition: Condition, item: Item): Condition => ({
  ...condition,
  items: [...condition.items, item],
  source: undefined,
})

/** Count the rows of an item. */
export const rowsIn = (item: Item): number =>
  "items" in item ? item.items.reduce((sum, each) => sum + rowsIn(each), 0) : 1

const gapOf = ({ gap }: Item) => (gap === undefined ? {} : { gap })

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
