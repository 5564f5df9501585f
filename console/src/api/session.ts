import { queryOptions } from "@tanstack/react-query"
import { answerOf, api, type Schemas, setCsrf } from "./client"
import { isStatus } from "./problem"

/** Who is signed in, and what they may do. */
export type Me = Schemas["Me"]
export type Right = Me["rights"][number]

/** The ways in: a password, a link that signs in once, what a provider sent the browser back with. */
export type Credentials =
  | { email: string; password: string }
  | { link: string }
  | { code: string; state: string; iss: string | null }

/** Who is signed in; null where nobody is. */
export const meQuery = queryOptions({
  queryKey: ["me"],
  staleTime: Infinity,
  queryFn: async (): Promise<Me | null> => {
    try {
      const me = await answerOf(api.GET("/api/me"))
      setCsrf(me.csrf)
      return me
    } catch (error) {
      if (isStatus(error, 401)) return null
      throw error
    }
  },
})

/** The ways to sign in, beside a link. */
export const methodsQuery = queryOptions({
  queryKey: ["methods"],
  staleTime: Infinity,
  queryFn: () => answerOf(api.GET("/api/session")),
})

export async function signIn(credentials: Credentials): Promise<void> {
  const made = await answerOf(api.POST("/api/session", { body: credentials as Draft }))
  setCsrf((made as Started).csrf)
}

type Draft = Schemas["SignInDraft"]
type Started = { csrf: string }

/** Begin a sign-in at the team's provider; return where to send the browser. */
export async function beginAtProvider(): Promise<string> {
  // The type that no page of another site can send without asking.
  const headers = { "Content-Type": "application/json" }
  return (await answerOf(api.POST("/api/session/oidc", { headers }))).url
}

export async function signOut(): Promise<void> {
  await api.DELETE("/api/session")
  setCsrf(null)
}

/** Set one's own password: other sessions end. */
export async function setPassword(password: string, current: string | null): Promise<void> {
  const made = await answerOf(api.POST("/api/me/password", { body: { password, current } }))
  setCsrf((made as Started).csrf)
}
