import { t } from "@lingui/core/macro"
import type { Schemas } from "./client"

type Whole = Schemas["Problem"]

/** An error as it is answered: what does not apply is left out. */
export type Problem = Pick<Whole, "type" | "title" | "status" | "detail" | "kind"> & Partial<Whole>

/** An error that the server answered (RFC 9457). */
export class ApiError extends Error {
  constructor(
    readonly problem: Problem,
    readonly retryAfter: number | null = null,
  ) {
    super(messageOf(problem))
  }

  get status(): number {
    return this.problem.status
  }
}

// What a message says to do in a terminal: it stands at its end, or in brackets.
const COMMAND =
  /;? (?:see|run|try|look at):? `?halflap [^;`]*`?$|; `?halflap [^;`]*`? does that$| ?\(`?halflap [^)]*\)/g

/** Say what was refused to one who has this page before them, and no terminal, and sends no headers. */
export function messageOf({ kind, detail }: Pick<Problem, "kind" | "detail">): string {
  switch (kind) {
    case "Stale":
      return t`Somebody else changed it since you opened it. Look at what it is now, and do it again.`
    case "TokenRefused":
      return t`You are not signed in any more.`
    case "RequestForged":
      return t`This page is too old to be believed. Load it again; what you typed stays.`
    case "NoSuchRoute":
    case "MethodNotAllowed":
      return t`The server does not know this. It is of another version than this page: load it again.`
    case "TooLarge":
      return t`It is larger than the server takes.`
    default:
      return detail.replace(COMMAND, "")
  }
}

/** What is asked for is not understood, and so the server is not asked. */
export class NotUnderstood extends Error {}

/** The server could not be reached. */
export class Offline extends Error {}

/** Read an answer that is no success as an error, also one of a proxy in between. */
export async function errorOf(response: Response): Promise<ApiError> {
  const after = Number(response.headers.get("retry-after"))
  const problem = await problemOf(response)
  return new ApiError(problem, Number.isFinite(after) && after > 0 ? after : null)
}

async function problemOf(response: Response): Promise<Problem> {
  try {
    if (response.headers.get("content-type")?.startsWith("application/problem+json")) {
      return (await response.json()) as Problem
    }
  } catch {
    // It was cut off: what HTTP says has to do.
  }
  const title = response.statusText || `HTTP ${response.status}`
  return { type: "about:blank", title, status: response.status, detail: title, kind: "HttpError" }
}

export function isStatus(error: unknown, ...statuses: number[]): error is ApiError {
  return error instanceof ApiError && statuses.includes(error.status)
}
