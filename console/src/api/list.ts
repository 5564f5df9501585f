import { keepPreviousData, useInfiniteQuery, type QueryKey } from "@tanstack/react-query"
import { useCallback, useEffect, useMemo } from "react"

export type Page<Row> = { items: Row[]; next?: string | null; total?: number | null }

/** All rows of a list, page after page. */
export async function* eachPage<Row, At extends string | number>(
  load: (after: At | undefined) => Promise<{ items: Row[]; next?: At | null }>,
): AsyncGenerator<Row[]> {
  let after: At | undefined
  do {
    const page = await load(after)
    yield page.items
    after = page.next ?? undefined
  } while (after !== undefined)
}

export type Rows<Row> = {
  rows: Row[] | undefined
  total: number | null
  error: unknown
  more: () => void
  /** Asks on where so many pages had nothing to show that only a person does; else null. */
  further: (() => void) | null
  refetch: () => void
}

/** Pages without a row that are asked past at once: a filter of which nothing is would read all there is. */
const BARE_PAGES = 5

/**
 * The rows of a list, page after page; the first page counts them. A page without any, after which there
 * may be more, is asked past: where the server looks through so much at once, or some are hidden.
 */
export function useRows<Row>(
  key: QueryKey,
  load: (after: string | undefined, signal: AbortSignal) => Promise<Page<Row>>,
  enabled = true,
): Rows<Row> {
  const query = useInfiniteQuery({
    queryKey: key,
    enabled,
    placeholderData: keepPreviousData,
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page: Page<Row>) => page.next ?? undefined,
    queryFn: ({ pageParam, signal }) => load(pageParam, signal),
  })
  const all = useMemo(() => query.data?.pages.flatMap((each) => each.items), [query.data])
  const { fetchNextPage, hasNextPage, isFetchingNextPage, isFetching, refetch } = query
  const { isError } = query
  const { pages = [] } = query.data ?? {}
  const bare = hasNextPage
    ? pages.length - 1 - pages.findLastIndex((each) => each.items.length > 0)
    : 0
  const rests = bare > 0 && bare % BARE_PAGES === 0
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage()
  }, [fetchNextPage, hasNextPage, isFetchingNextPage])
  useEffect(() => {
    if (bare > 0 && !rests && !isFetching && !isError) more()
  }, [bare, rests, isFetching, isError, more])
  const isLooking = bare > 0 && (!rests || isFetchingNextPage || isError)
  const rows = isLooking && all?.length === 0 ? undefined : all
  const again = useCallback(() => void refetch(), [refetch])
  return {
    rows,
    total: query.data?.pages[0]?.total ?? null,
    error: query.error,
    more,
    further: rests && !isFetchingNextPage ? more : null,
    refetch: again,
  }
}
