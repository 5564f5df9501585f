import type { Change } from "~/api/live"
import { isOver, type Summary } from "~/api/execution"

export type Page = { items: Summary[]; next: string | null }

/** The executions that were loaded, newest first; `next` leads to older ones, `fresh` are held back. */
export type List = { rows: readonly Summary[]; next: string | null; fresh: readonly Summary[] }

export const EMPTY: List = { rows: [], next: null, fresh: [] }

/** Add the page that `next` led to. */
export function withOlder(list: List, page: Page): List {
  const known = new Set(list.rows.map((each) => each.id))
  const added = page.items.filter((each) => !known.has(each.id))
  return { ...list, rows: [...list.rows, ...added], next: page.next }
}

/**
 * Add the newest page: known rows are renewed where they are, new ones go above them.
 *
 * With `held`, new ones wait, so that no row moves under the pointer. Where the page does not reach
 * what is known, more came than it holds: the list begins anew with it.
 */
export function withNewest(list: List, page: Page, held: boolean): List {
  const known = new Set(list.rows.map((each) => each.id))
  const reaches = page.next === null || page.items.some((each) => known.has(each.id))
  if (!reaches && !held) return { rows: page.items, next: page.next, fresh: [] }
  const renewed = new Map(page.items.map((each) => [each.id, each]))
  const rows = list.rows.map((each) => renewed.get(each.id) ?? each)
  const fresh = page.items.filter((each) => !known.has(each.id))
  if (held) return { ...list, rows, fresh }
  return {
    rows: [...fresh, ...rows],
    next: list.rows.length === 0 ? page.next : list.next,
    fresh: [],
  }
}

/** Change the rows of which something was heard; the same list where it has none of them. */
export function withChanges(list: List, changes: readonly Change[]): List {
  const heard = new Map(changes.map((each) => [each.execution, each]))
  if (!list.rows.some((each) => heard.has(each.id))) return list
  const rows = list.rows.map((row) => {
    const change = heard.get(row.id)
    if (change === undefined || isOver(row.state)) return row
    const { state, attempt, reason } = change
    const over = isOver(state)
    return { ...row, state, attempt, reason, waiting: null, ended_at: over ? change.at : null }
  })
  return { ...list, rows }
}
