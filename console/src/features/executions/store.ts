import { useEffect, useSyncExternalStore } from "react"
import { answerOf, api } from "~/api/client"
import type { Live, News } from "~/api/live"
import { type Filter, queryOf } from "./filter"
import { EMPTY, type List, type Page, withChanges, withNewest, withOlder } from "./list"

const PAGE = 100
const RENEW_MS = 1_000
const MOST_STORES = 8

export type Shown = {
  list: List
  loading: boolean
  error: unknown
}

type Load = (before: string | null, signal: AbortSignal) => Promise<Page>

/** The list of one filter: loaded page by page, and kept up to date by what the stream tells. */
export class ListStore {
  private shown: Shown = { list: EMPTY, loading: true, error: null }
  private readonly listeners = new Set<() => void>()
  private readonly over = new AbortController()
  private renewing: number | undefined
  private loadingOlder = false
  private held = false

  constructor(private readonly load: Load) {}

  readonly get = (): Shown => this.shown

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** Hold new rows back while the pointer is over the list. */
  hold(held: boolean): void {
    this.held = held
    if (!held) this.release()
  }

  /** Show the rows that were held back. */
  release(): void {
    const { list } = this.shown
    if (list.fresh.length > 0) {
      this.show({ list: { ...list, rows: [...list.fresh, ...list.rows], fresh: [] } })
    }
  }

  async renew(): Promise<void> {
    try {
      const page = await this.load(null, this.over.signal)
      const first = this.shown.list.rows.length === 0
      this.show({
        list: withNewest(this.shown.list, page, this.held && !first),
        loading: false,
        error: null,
      })
      // A page may be empty while there are more: so many rows are compared for one page at the most.
      if (first && page.items.length === 0 && page.next !== null) await this.older()
    } catch (error) {
      if (!this.over.signal.aborted) this.show({ error, loading: false })
    }
  }

  async older(): Promise<void> {
    const before = this.shown.list.next
    if (this.loadingOlder || before === null) return
    this.loadingOlder = true
    try {
      const page = await this.load(before, this.over.signal)
      this.show({ list: withOlder(this.shown.list, page), error: null })
    } catch (error) {
      if (!this.over.signal.aborted) this.show({ error })
    } finally {
      this.loadingOlder = false
    }
  }

  hear(news: News): void {
    if (news.kind === "changes") {
      const list = withChanges(this.shown.list, news.changes)
      if (list !== this.shown.list) this.show({ list })
    }
    if (news.kind === "online" || news.kind === "moved" || this.listeners.size === 0) return
    this.renewing ??= window.setTimeout(() => {
      this.renewing = undefined
      void this.renew()
    }, RENEW_MS)
  }

  private show(change: Partial<Shown>): void {
    this.shown = { ...this.shown, ...change }
    for (const each of this.listeners) each()
  }
}

const stores = new Map<string, ListStore>()

/** Forget every list, as somebody else signs in. */
export function forgetLists(): void {
  stores.clear()
}

function storeOf(filter: Filter): ListStore {
  const key = JSON.stringify(filter)
  const found = stores.get(key)
  if (found !== undefined) return found
  const made = new ListStore(async (before, signal) => {
    const query = { ...queryOf(filter), limit: PAGE, ...(before === null ? {} : { before }) }
    return answerOf(api.GET("/api/executions", { params: { query }, signal }))
  })
  stores.set(key, made)
  const oldest = stores.keys().next().value
  if (stores.size > MOST_STORES && oldest !== undefined) stores.delete(oldest)
  return made
}

/** The list of a filter, live. */
export function useList(filter: Filter, live: Live): [Shown, ListStore] {
  const store = storeOf(filter)
  const shown = useSyncExternalStore(store.subscribe, store.get)
  useEffect(() => {
    void store.renew()
    return live.listen((news) => store.hear(news))
  }, [store, live])
  return [shown, store]
}
