import { createContext, type ReactNode, use, useEffect, useMemo, useState } from "react"
import type { Live } from "~/api/live"
import type { Me, Right } from "~/api/session"

export type Session = { me: Me; live: Live; can: (right: Right) => boolean }

const Context = createContext<Session | null>(null)

/** Who is signed in, what they may do, and the browser's event stream. */
export function SessionProvider({
  me,
  live,
  children,
}: {
  me: Me
  live: Live
  children: ReactNode
}) {
  const session = useMemo(
    () => ({ me, live, can: (right: Right) => me.rights.includes(right) }),
    [me, live],
  )
  return <Context value={session}>{children}</Context>
}

export function useSession(): Session {
  const session = use(Context)
  if (session === null) throw new Error("nobody is signed in here")
  return session
}

/** True while the event stream is connected. */
export function useOnline(): boolean {
  const { live } = useSession()
  const [online, setOnline] = useState(live.online)
  useEffect(() => live.listen((news) => news.kind === "online" && setOnline(news.online)), [live])
  return online
}
