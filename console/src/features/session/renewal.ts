import { type QueryKey, useQueryClient } from "@tanstack/react-query"
import { useEffect, useRef } from "react"
import type { News } from "~/api/live"
import { useSession } from "./context"

/** Load queries anew when the stream tells of something that they show: once in so many milliseconds. */
export function useRenewal(
  key: QueryKey,
  everyMs: number,
  concerns: (news: News) => boolean,
): void {
  const { live } = useSession()
  const client = useQueryClient()
  const asked = useRef(concerns)
  useEffect(() => {
    asked.current = concerns
  })
  const text = JSON.stringify(key)
  useEffect(() => {
    let timer: number | undefined
    const stop = live.listen((news) => {
      if (news.kind === "online" || (news.kind !== "missed" && !asked.current(news))) return
      timer ??= window.setTimeout(() => {
        timer = undefined
        void client.invalidateQueries({ queryKey: JSON.parse(text) as QueryKey })
      }, everyMs)
    })
    return () => {
      window.clearTimeout(timer)
      stop()
    }
  }, [live, client, text, everyMs])
}

/** Look again as the reader comes back to the window: what a terminal did, the stream may not tell. */
export function useReturn(look: () => void): void {
  const latest = useRef(look)
  useEffect(() => {
    latest.current = look
  })
  useEffect(() => {
    const again = () => latest.current()
    window.addEventListener("focus", again)
    return () => window.removeEventListener("focus", again)
  }, [])
}

/** True where the stream tells that something of a topic changed. */
export function moved(news: News, ...topics: string[]): boolean {
  return news.kind === "moved" && topics.some((each) => news.topics.includes(each))
}
