import createClient, { type Middleware } from "openapi-fetch"
import { ApiError, errorOf, Offline } from "./problem"
import type { components, paths } from "./schema"

export type Schemas = components["schemas"]

const SAFE = new Set(["GET", "HEAD"])

let csrf: string | null = null
let bearer: string | null = null
const signedOut = new Set<() => void>()

/** Set the token that proves that a change comes from this page, as the session has it. */
export function setCsrf(token: string | null): void {
  csrf = token
}

/** Act by a customer's token from now on, and by no session. */
export function setBearer(token: string | null): void {
  bearer = token
}

/** Call a function whenever the server says that the session is over; return how to stop that. */
export function onSignedOut(listener: () => void): () => void {
  signedOut.add(listener)
  return () => signedOut.delete(listener)
}

const session: Middleware = {
  onRequest({ request }) {
    if (bearer !== null) request.headers.set("Authorization", `Bearer ${bearer}`)
    else if (csrf !== null && !SAFE.has(request.method)) request.headers.set("X-CSRF-Token", csrf)
    return request
  },
  async onResponse({ response, request }) {
    if (response.ok) return response
    const error = await errorOf(response)
    if (response.status === 401 && !request.url.endsWith("/api/session")) {
      for (const each of signedOut) each()
    }
    throw error
  },
  onError({ error }) {
    if (
      error instanceof ApiError ||
      (error instanceof DOMException && error.name === "AbortError")
    ) {
      throw error
    }
    throw new Offline("The server cannot be reached.", { cause: error })
  },
}

export const api = createClient<paths>({ baseUrl: "/", credentials: "same-origin" })
api.use(session)

/** Return what a call answered; errors were thrown before. */
export async function answerOf<T>(call: Promise<{ data?: T }>): Promise<T> {
  return (await call).data as T
}

/** What was answered, with the mark of its state, by which a change says what it is based on. */
export type Tagged<T> = { value: T; etag: string | null }

export async function taggedOf<T>(
  call: Promise<{ data?: T; response: Response }>,
): Promise<Tagged<T>> {
  const { data, response } = await call
  return { value: data as T, etag: response.headers.get("etag") }
}

/** The header of a change that is refused (412) where somebody else made one since. */
export function ifMatch(etag: string | null | undefined): { headers: Record<string, string> } {
  return { headers: etag == null ? {} : { "If-Match": etag } }
}

/** A body that is JSON text already, with all its digits. */
export function exactBody(text: string): { body: never; bodySerializer: () => string } {
  return { body: text as never, bodySerializer: () => text }
}
