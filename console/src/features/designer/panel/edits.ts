import type { DraftEdit, Path } from "../draft/types"
import { isObject, type Json, same } from "../fields/model"

type Members = Readonly<Record<string, Json>>

const set = (path: Path, value: Json, after?: string): DraftEdit => ({
  op: "set",
  path,
  value,
  ...(after === undefined ? { after: null } : { after }),
})

/** Return the member behind which one is written: the last that is there and stands before it. */
export function behind(held: Members, name: string, order: readonly string[]): string | undefined {
  const at = order.indexOf(name)
  return order.slice(0, Math.max(0, at)).findLast((each) => Object.hasOwn(held, each))
}

/** Return the edits that make a member another one, add it, or (undefined) delete it. */
export function memberEdits(
  path: Path,
  held: Members,
  name: string,
  value: Json | undefined,
  order: readonly string[] = [],
): DraftEdit[] {
  const has = Object.hasOwn(held, name)
  if (value === undefined) return has ? [{ op: "delete", path: [...path, name] }] : []
  if (has && same(held[name], value)) return []
  return [set([...path, name], value, has ? undefined : behind(held, name, order))]
}

/** The same of an input, which stands in the step's `with`: made with the first, gone with the last. */
export function inputEdits(
  path: Path,
  held: Members,
  name: string,
  value: Json | undefined,
  order: readonly string[] = [],
  inputs: readonly string[] = [],
): DraftEdit[] {
  const given = held["with"]
  if (!isObject(given)) {
    return value === undefined ? [] : memberEdits(path, held, "with", { [name]: value }, order)
  }
  const last = Object.keys(given).every((each) => each === name)
  if (value === undefined && last) return memberEdits(path, held, "with", undefined)
  return memberEdits([...path, "with"], given, name, value, inputs)
}
