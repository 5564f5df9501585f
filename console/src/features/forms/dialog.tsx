import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useMutation } from "@tanstack/react-query"
import { type ReactNode, useState } from "react"
import { isStatus } from "~/api/problem"
import { Button } from "~/ui/button"
import { Dialog } from "~/ui/dialog"
import { FormError } from "~/ui/notice"
import { Fields } from "./fields"
import { type Control, type Raw, type Raws, rawsOf, textsOf } from "./schema"
import { type FormState, useForm } from "./state"

/** The values that a form changes, and the mark of their state. */
export type Based = { values: unknown; etag: string | null }

/** A dialog that is a form: checked at its fields before it is sent, and after by what the API says. */
export function FormDialog({
  title,
  controls,
  based,
  reload,
  storeKey,
  verb,
  send,
  onDone,
  onClose,
  children,
  after,
  kept,
  clear = false,
  wide = false,
}: {
  title: string
  controls: readonly Control[]
  based?: Based
  /** Loads the values anew, where somebody else may have changed them since. */
  reload?: () => Promise<Based>
  storeKey: string
  verb: string
  send: (text: string, etag: string | null) => Promise<unknown>
  onDone: (answer: unknown) => void
  onClose: () => void
  children?: ReactNode
  after?: ReactNode
  kept?: ReadonlySet<string>
  clear?: boolean
  wide?: boolean
}) {
  const form = useForm(controls, () => rawsOf(controls, based?.values), storeKey, kept, based?.etag)
  const sent = useSending(form, controls, reload, send, onDone, {
    clear,
    ...(kept && { kept }),
  })
  return (
    <Dialog
      title={title}
      wide={wide}
      onClose={onClose}
      onSubmit={sent.submit}
      footer={
        <>
          <Button onClick={onClose}>{t`Close`}</Button>
          <Button type="submit" look="primary" busy={sent.busy}>
            {verb}
          </Button>
        </>
      }
    >
      {children}
      <Fields controls={controls} form={form} {...(kept === undefined ? {} : { kept })} />
      {after}
      {sent.stale !== null && <Stale {...sent.stale} controls={controls} form={form} />}
      <FormError error={sent.error} />
    </Dialog>
  )
}

type StaleState = { theirs: Raws; onTheirs: () => void; onMine: () => void }

/** Send a form; what comes back is brought to its fields, and a change of somebody else is shown. */
export function useSending(
  form: FormState,
  controls: readonly Control[],
  reload: (() => Promise<Based>) | undefined,
  send: (text: string, etag: string | null) => Promise<unknown>,
  onDone: (answer: unknown) => void,
  sending: { clear?: boolean; kept?: ReadonlySet<string> } = {},
) {
  const [etag, setEtag] = useState(form.mark)
  const [stale, setStale] = useState<Based | null>(null)
  const run = useMutation({
    mutationFn: (mark: string | null) => send(textsOf(controls, form.raws, sending), mark),
    onSuccess: (answer) => {
      form.drop()
      onDone(answer)
    },
    onError: async (error) => {
      form.refuse(error)
      if (isStatus(error, 412) && reload !== undefined) setStale(await reload())
    },
  })
  const submit = () => {
    if (form.check()) run.mutate(etag)
  }
  const isStale = isStatus(run.error, 412)
  return {
    submit,
    busy: run.isPending,
    answer: run.data,
    error: isStale && stale !== null ? null : run.error,
    stale:
      stale === null
        ? null
        : {
            theirs: rawsOf(controls, stale.values),
            onTheirs: () => {
              const theirs = rawsOf(controls, stale.values)
              for (const each of controls) form.set(each.name, theirs[each.name] as Raw)
              setEtag(stale.etag)
              setStale(null)
              run.reset()
            },
            onMine: () => {
              setEtag(stale.etag)
              setStale(null)
              run.mutate(stale.etag)
            },
          },
  }
}

const shown = (raw: Raw | undefined): string =>
  typeof raw === "string" ? raw : raw === undefined ? "" : JSON.stringify(raw)

/** Says that somebody else changed the same, with both values, and asks which is to stand. */
export function Stale({
  theirs,
  onTheirs,
  onMine,
  controls,
  form,
}: StaleState & { controls: readonly Control[]; form: FormState }) {
  const differing = controls.filter(
    (each) =>
      each.kind !== "secret" &&
      JSON.stringify(theirs[each.name]) !== JSON.stringify(form.raws[each.name]),
  )
  return (
    <div role="alert" className="flex flex-col gap-2 rounded-md border border-waiting/50 px-3 py-2">
      <p className="font-medium">{t`Somebody else changed this while you did.`}</p>
      {differing.length === 0 ? (
        <p className="text-muted-foreground">{t`Their values are the same as yours.`}</p>
      ) : (
        <table className="w-full table-fixed text-left">
          <thead className="text-xs text-muted-foreground">
            <tr>
              <th className="font-normal">{t`Field`}</th>
              <th className="font-normal">{t`Now`}</th>
              <th className="font-normal">{t`Yours`}</th>
            </tr>
          </thead>
          <tbody>
            {differing.map((each) => (
              <tr key={each.name}>
                <td className="truncate pr-2">{each.title}</td>
                <td className="pr-2 break-words">{shown(theirs[each.name]) || "–"}</td>
                <td className="break-words">{shown(form.raws[each.name]) || "–"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <div className="flex gap-2">
        <Button onClick={onTheirs}>{t`Take what is there now`}</Button>
        <Button onClick={onMine}>
          <Trans>Save mine over it</Trans>
        </Button>
      </div>
    </div>
  )
}
