import { keepPreviousData, useInfiniteQuery, type QueryKey } from "@tanstack/react-query"
import { useCallback, useEffect, useMemo } from "react"

export type Page<Row> = { items: Row[]; next?: string | null; total?: number | null }
export type Rows<Row> = {
  rows: Row[] | undefined
  total: number | null
  error: unknown
  more: () => void
  refetch: () => void
}

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
  const bare = query.data?.pages.at(-1)?.items.length === 0 && hasNextPage
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage()
  }, [fetchNextPage, hasNextPage, isFetchingNextPage])
  useEffect(() => {
    if (bare && !isFetching && !isError) more()
  }, [bare, isFetching, isError, more])
  const rows = bare && all?.length === 0 ? undefined : all
  const again = useCallback(() => void refetch(), [refetch])
  return {
    rows,
    total: query.data?.pages[0]?.total ?? null,
    error: query.error,
    more,
    refetch: again,
  }
}
