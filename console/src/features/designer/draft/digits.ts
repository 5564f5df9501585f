/** A number of a document with more digits than the browser's numbers have; it is sent as it came. */
export class Digits {
  constructor(readonly text: string) {}

  toString(): string {
    return this.text
  }

  toJSON(): unknown {
    return (JSON as Exact).rawJSON?.(this.text) ?? this.text
  }
}

type Exact = typeof JSON & { rawJSON?: (text: string) => unknown }
type Parse = (
  text: string,
  revive: (key: string, value: unknown, context?: { source?: string }) => unknown,
) => unknown

/** Parse JSON; numbers that would lose digits come as `Digits`. */
export function parseDigits(text: string): unknown {
  return (JSON.parse as Parse)(text, (_, value, context) => {
    const source = context?.source
    if (typeof value !== "number" || source === undefined) return value
    return isExact(value, source) ? value : new Digits(source)
  })
}

/** Return whether a number is what its text says: 1.0, 1.5 and 1e3 are, 0.1234567890123456789 is not. */
function isExact(value: number, source: string): boolean {
  if (String(value) === source) return true
  const digits = source
    .replace(/[eE].*$/, "")
    .replace(/[-.]/g, "")
    .replace(/^0+/, "")
  return digits.replace(/0+$/, "").length <= 15 && Number.isFinite(value)
}
