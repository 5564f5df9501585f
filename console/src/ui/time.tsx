import { useSyncExternalStore } from "react"

const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
})
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" })
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" })
const minute = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
})
const zoned = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" })
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" })
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" })

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
]

let now = Date.now()
const tickers = new Set<() => void>()
let ticking: number | undefined

function subscribe(tick: () => void): () => void {
  tickers.add(tick)
  ticking ??= window.setInterval(() => {
    now = Date.now()
    for (const each of tickers) each()
  }, 1_000)
  return () => {
    tickers.delete(tick)
    if (tickers.size === 0) {
      window.clearInterval(ticking)
      ticking = undefined
    }
  }
}

/** The time as it is shown: of the last second, also where no time was shown for a while. */
export function shownNow(): number {
  if (ticking === undefined && Math.abs(Date.now() - now) >= 1_000) now = Date.now()
  return now
}

/** The time now, which goes on by the second. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, shownNow)
}

/** A time as a distance from now: "5 min. ago". */
export function ago(at: string, from: number = Date.now()): string {
  const seconds = (Date.parse(at) - from) / 1_000
  for (const [unit, size] of UNITS) {
    if (Math.abs(seconds) >= size || unit === "second") {
      return relative.format(Math.trunc(seconds / size), unit)
    }
  }
  return ""
}

/** The name of the reader's zone, in which all times are: "CET", "UTC". */
export function zone(at: number = Date.now()): string {
  return zoned.formatToParts(at).find((each) => each.type === "timeZoneName")?.value ?? ""
}

/** A time in the reader's zone: of today as its clock, else with its day, else with its year. */
export function shortTime(at: string, from: number = Date.now()): string {
  const [then, now] = [new Date(at), new Date(from)]
  if (then.toDateString() === now.toDateString()) return clock.format(then)
  if (then.getFullYear() === now.getFullYear()) return `${day.format(then)} ${clock.format(then)}`
  return `${date.format(then)} ${minute.format(then)}`
}

/** A time in full: in the reader's zone, and in UTC as it is stored. */
export function fullTime(at: string): string {
  return `${whole.format(new Date(at))}\n${at}`
}

/** A length of time with two digits that matter: 340 ms, 2.0 s, 3 min 5 s, 2 h 4 min. */
export function length(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`
  const seconds = ms / 1_000
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (seconds < 60) return `${Math.round(seconds)} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`
  const hours = Math.floor(minutes / 60)
  return hours < 48
    ? `${hours} h ${minutes % 60} min`
    : `${Math.floor(hours / 24)} d ${hours % 24} h`
}

/**
 * A time: its clock in lists; with `distance`, how long ago; with `zoned`, with the reader's zone. The
 * whole of it is in the title.
 */
export function Time({
  at,
  distance = false,
  zoned = false,
}: {
  at: string
  distance?: boolean
  zoned?: boolean
}) {
  const from = useNow()
  return (
    <time dateTime={at} title={fullTime(at)} className="figures whitespace-nowrap">
      {distance ? ago(at, from) : shortTime(at, from)}
      {zoned && ` ${zone(Date.parse(at))}`}
    </time>
  )
}

/** The time since something began, as it goes on. */
export function Since({ at }: { at: string }) {
  const from = useNow()
  return <span className="figures">{length(Math.max(0, from - Date.parse(at)))}</span>
}
