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

/** Parse JSON; numbers that the browser would write otherwise come as `Digits`: 9.10 stays 9.10. */
export function parseDigits(text: string): unknown {
  return (JSON.parse as Parse)(text, (_, value, context) => {
    const source = context?.source
    if (typeof value !== "number" || source === undefined) return value
    return String(value) === source ? value : new Digits(source)
  })
}
