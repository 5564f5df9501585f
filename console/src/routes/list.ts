import { text } from "./root"

/** Read the texts of an address that a list knows; what it does not know is dropped. */
export function texts<Name extends string>(
  search: Record<string, unknown>,
  names: readonly Name[],
): Partial<Record<Name, string>> {
  const found: Partial<Record<Name, string>> = {}
  for (const name of names) {
    const value = text(search[name])
    if (value !== undefined) found[name] = value
  }
  return found
}

/** Read a text of an address; one that looks like a number comes out of it as one. */
export function word(value: unknown): string | undefined {
  return typeof value === "number" ? String(value) : text(value)
}

/** Leave out what is undefined. */
export function given<T extends object>(some: T): T {
  return Object.fromEntries(Object.entries(some).filter(([, each]) => each !== undefined)) as T
}
