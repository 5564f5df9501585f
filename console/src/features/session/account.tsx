import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useMutation, useQueryClient } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { useState } from "react"
import { meQuery, setPassword } from "~/api/session"
import { useMayBegin } from "~/features/guide/store"
import { Button } from "~/ui/button"
import { Field, Input } from "~/ui/field"
import { FormError } from "~/ui/notice"
import { toast } from "~/ui/toast"
import { useSession } from "./context"

const SHORTEST = 12

/** One's own account: who one is, what one may do, and one's password. */
export function AccountPage() {
  const { me } = useSession()
  const mayBegin = useMayBegin()
  return (
    <div className="flex h-full max-w-md flex-col gap-6 overflow-auto p-4">
      <h1 className="text-lg font-semibold">{t`Your account`}</h1>
      <dl className="grid grid-cols-[max-content_minmax(0,1fr)] gap-x-6 gap-y-1.5 [&_dt]:text-muted-foreground">
        {me.user !== null && me.user.name !== "" && (
          <>
            <dt>{t`Name`}</dt>
            <dd className="break-words">{me.user.name}</dd>
          </>
        )}
        <dt>{t`Email`}</dt>
        <dd className="break-words">{me.user?.email ?? me.label}</dd>
        <dt>{t`Role`}</dt>
        <dd>{me.role}</dd>
        <dt>{t`Rights`}</dt>
        <dd>{me.rights.join(", ")}</dd>
      </dl>
      {mayBegin && (
        <Link to="/first-steps" className="link self-start">
          {t`First steps: from nothing to an event that flows`}
        </Link>
      )}
      {me.user?.email.includes("@") === true && <PasswordForm hasOne={me.user.has_password} />}
    </div>
  )
}

function PasswordForm({ hasOne }: { hasOne: boolean }) {
  const [current, setCurrent] = useState("")
  const [password, setNew] = useState("")
  const client = useQueryClient()
  const change = useMutation({
    mutationFn: () => setPassword(password, current === "" ? null : current),
    onSuccess: () => {
      setCurrent("")
      setNew("")
      toast(t`Your password is set`, t`Your other sessions have ended.`)
      void client.invalidateQueries(meQuery)
    },
  })
  const short = password !== "" && password.length < SHORTEST
  return (
    <form
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault()
        if (!short) change.mutate()
      }}
    >
      <h2 className="font-semibold">{hasOne ? t`Change your password` : t`Set a password`}</h2>
      {!hasOne && (
        <p className="text-muted-foreground">
          <Trans>Without one, you sign in by links, or at your team’s provider.</Trans>
        </p>
      )}
      {hasOne && (
        <Field label={t`Present password`}>
          {(control) => (
            <Input
              {...control}
              type="password"
              autoComplete="current-password"
              value={current}
              onChange={(event) => setCurrent(event.target.value)}
            />
          )}
        </Field>
      )}
      <Field
        label={t`New password`}
        hint={t`12 characters at least.`}
        error={short ? t`It is shorter than 12 characters.` : null}
      >
        {(control) => (
          <Input
            {...control}
            type="password"
            autoComplete="new-password"
            required
            value={password}
            onChange={(event) => setNew(event.target.value)}
          />
        )}
      </Field>
      <FormError error={change.error} />
      <Button type="submit" look="primary" className="self-start" busy={change.isPending}>
        {t`Set the password`}
      </Button>
    </form>
  )
}
