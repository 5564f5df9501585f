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
    super(problem.detail)
  }

  get status(): number {
    return this.problem.status
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
