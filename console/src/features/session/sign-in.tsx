import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useMutation, useQuery } from "@tanstack/react-query"
import { type SubmitEvent, useEffect, useRef, useState } from "react"
import { beginAtProvider, type Credentials, methodsQuery, signIn } from "~/api/session"
import { ApiError } from "~/api/problem"
import { Button } from "~/ui/button"
import { Field, Input } from "~/ui/field"
import { Mark } from "~/ui/mark"
import { FormError } from "~/ui/notice"

/** What the address brought: a link's token, what a provider gave, or why it gave nothing. */
export type Brought = Credentials | { refusal: string }

/** Take out of the address what signs in, since it would stay in the history. */
export function takeBrought(): Brought | null {
  const { hash, pathname, search } = window.location
  if (pathname.endsWith("/portal/webhooks")) return null // which has a token of its own
  const query = new URLSearchParams(search)
  const [code, refusal] = [query.get("code"), query.get("error")]
  const provided = pathname.endsWith("/sign-in") && (code ?? refusal) !== null
  if (hash !== "" || provided) {
    window.history.replaceState(null, "", provided ? pathname : pathname + search)
  }
  const link = /^#link=([A-Za-z0-9_.-]+)$/.exec(hash)?.[1]
  if (link !== undefined) return { link }
  if (!provided) return null
  if (code === null) return { refusal: refusal ?? "" }
  return { code, state: query.get("state") ?? "", iss: query.get("iss") }
}

/** Sign in by a password or at the team's provider; or at once, by what the address brought. */
export function SignInPage({
  brought,
  ended,
  onDone,
}: {
  brought: Brought | null
  ended: boolean
  onDone: () => void
}) {
  const [email, setEmail] = useState("")
  const [password, setPassword] = useState("")
  const methods = useQuery(methodsQuery)
  const attempt = useMutation({ mutationFn: signIn, onSuccess: onDone })
  const provider = useMutation({
    mutationFn: beginAtProvider,
    onSuccess: (url) => window.location.assign(url),
  })
  const { mutate } = attempt
  const used = useRef(false)
  useEffect(() => {
    if (brought === null || "refusal" in brought || used.current) return
    used.current = true
    mutate(brought)
  }, [brought, mutate])
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    attempt.mutate({ email, password })
  }
  const error = attempt.error ?? provider.error
  const oidc = methods.data?.oidc
  const wait = error instanceof ApiError && error.status === 429 ? error.retryAfter : null
  return (
    <main className="flex min-h-full flex-col items-center px-4 pt-[14vh]">
      <div className="flex w-full max-w-80 flex-col gap-6">
        <div className="flex flex-col items-center gap-3">
          <Mark className="size-10" />
          <h1 className="text-xl font-semibold">{t`Sign in to Halflap`}</h1>
          {ended && (
            <p role="status" className="text-center text-muted-foreground">
              {t`Your session has ended. Sign in again: you come back to where you were, and what you typed there is kept, but for secrets.`}
            </p>
          )}
        </div>
        {brought !== null && attempt.isPending ? (
          <p role="status" className="text-center text-muted-foreground">{t`Signing in…`}</p>
        ) : (
          <form onSubmit={submit} className="flex flex-col gap-4">
            <Field label={t`Email`}>
              {(control) => (
                <Input
                  {...control}
                  type="email"
                  name="email"
                  autoComplete="username"
                  autoFocus
                  required
                  className="h-8"
                  value={email}
                  onChange={(event) => setEmail(event.target.value)}
                />
              )}
            </Field>
            <Field label={t`Password`}>
              {(control) => (
                <Input
                  {...control}
                  type="password"
                  name="password"
                  autoComplete="current-password"
                  required
                  className="h-8"
                  value={password}
                  onChange={(event) => setPassword(event.target.value)}
                />
              )}
            </Field>
            <FormError error={error} />
            {brought !== null && "refusal" in brought && error === null && (
              <p role="alert" className="break-words text-failed-text">
                <Trans>The provider did not sign you in: {brought.refusal}</Trans>
              </p>
            )}
            {wait !== null && (
              <p className="text-muted-foreground">
                <Trans>Try again in {wait} seconds.</Trans>
              </p>
            )}
            <Button type="submit" look="primary" className="h-8" busy={attempt.isPending}>
              {t`Sign in`}
            </Button>
            {oidc != null && (
              <Button className="h-8" busy={provider.isPending} onClick={() => provider.mutate()}>
                {t`Sign in with ${oidc}`}
              </Button>
            )}
            <p className="text-xs text-muted-foreground">
              <Trans>
                On the server’s own machine, <code>halflap console</code> prints a link that signs
                you in.
              </Trans>
            </p>
          </form>
        )}
      </div>
    </main>
  )
}
