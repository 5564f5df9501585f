import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { Link, useNavigate } from "@tanstack/react-router"
import { PencilRuler, Plus, Trash2 } from "lucide-react"
import { useState } from "react"
import { answerOf, api, type Schemas } from "~/api/client"
import { useSession } from "~/features/session/context"
import { useDraft } from "~/features/session/draft"
import { Button, buttonClass, IconButton } from "~/ui/button"
import { Confirm } from "~/ui/confirm"
import { Dialog } from "~/ui/dialog"
import { Field, Input, Textarea } from "~/ui/field"
import { ErrorNotice, FormError, Loading, Notice } from "~/ui/notice"
import { Time } from "~/ui/time"
import { ComponentSets, SetSelect, useComponentSets } from "./components"

type Summary = Schemas["DraftSummary"]

export const draftsQuery = (integration?: string) => ({
  queryKey: ["drafts", integration ?? null],
  staleTime: 0,
  queryFn: async () => {
    const query = integration === undefined ? { limit: 200 } : { integration, limit: 200 }
    return (await answerOf(api.GET("/api/drafts", { params: { query } }))).items
  },
})

/** Begin a draft of a version, a text or nothing, and open it. */
export function useBegin() {
  const navigate = useNavigate()
  const client = useQueryClient()
  return useMutation({
    mutationFn: (body: Schemas["DraftBegin"]) => answerOf(api.POST("/api/drafts", { body })),
    onSuccess: (draft) => {
      void client.invalidateQueries({ queryKey: ["drafts"] })
      void navigate({ to: "/drafts/$draft", params: { draft: draft.id }, search: {} })
    },
  })
}

/** All drafts. */
export function DraftsPage() {
  const { can } = useSession()
  const [begins, setBegins] = useState(false)
  const { data, error, refetch } = useQuery(draftsQuery())
  return (
    <section aria-label={t`Drafts`} className="flex h-full min-h-0 flex-col overflow-auto">
      <header className="flex items-center px-4 pt-3 pb-2">
        <h1 className="text-lg font-semibold">{t`Drafts`}</h1>
        {can("publish") && (
          <Button
            look="primary"
            className="ml-auto"
            icon={<Plus aria-hidden />}
            onClick={() => setBegins(true)}
          >
            {t`New integration…`}
          </Button>
        )}
      </header>
      {data === undefined ? (
        error === null ? (
          <Loading />
        ) : (
          <ErrorNotice error={error} retry={() => void refetch()} />
        )
      ) : data.length === 0 ? (
        <Notice icon={<PencilRuler />} title={t`Nothing is being drafted`}>
          {t`A draft is an integration that is being written here: of a version, or from nothing.`}
        </Notice>
      ) : (
        <DraftList drafts={data} />
      )}
      <ComponentSets />
      {begins && <BeginDialog onClose={() => setBegins(false)} />}
    </section>
  )
}

/** The drafts of an integration; nothing where there are none. */
export function DraftsOf({ integration }: { integration: string }) {
  const { data } = useQuery(draftsQuery(integration))
  if (data === undefined || data.length === 0) return null
  return (
    <section aria-label={t`Drafts`} className="px-4 pb-3">
      <DraftList drafts={data} named={false} />
    </section>
  )
}

/** Go on with the newest draft of an integration, whoever's it is, or begin one of a version. */
export function EditButtons({ integration, version }: { integration: string; version: number }) {
  const begin = useBegin()
  const { data, isPending } = useQuery(draftsQuery(integration))
  const newest = data === undefined ? undefined : newestOf(data)
  return (
    <span className="ml-auto flex flex-wrap items-center justify-end gap-2">
      {begin.error !== null && (
        <span role="alert" className="max-w-80 text-xs text-failed-text">
          {begin.error.message}
        </span>
      )}
      {newest !== undefined && (
        <Link
          to="/drafts/$draft"
          params={{ draft: newest.id }}
          search={{}}
          className={buttonClass("outline")}
        >
          <PencilRuler aria-hidden />
          <Trans>Continue the draft of {newest.changed_by}</Trans>
        </Link>
      )}
      <Button
        icon={newest === undefined ? <PencilRuler aria-hidden /> : <Plus aria-hidden />}
        busy={begin.isPending}
        disabled={isPending}
        onClick={() => begin.mutate({ integration, version: String(version) })}
      >
        {newest === undefined ? (
          <Trans>Edit version {version}</Trans>
        ) : (
          <Trans>New draft of version {version}</Trans>
        )}
      </Button>
    </span>
  )
}

/** Return the draft that was edited last. */
export function newestOf<T extends { changed_at: string }>(drafts: readonly T[]): T | undefined {
  return [...drafts].sort((a, b) => Date.parse(b.changed_at) - Date.parse(a.changed_at))[0]
}

function DraftList({ drafts, named = true }: { drafts: Summary[]; named?: boolean }) {
  const { can } = useSession()
  const client = useQueryClient()
  const [gone, setGone] = useState<Summary | null>(null)
  return (
    <ul aria-label={t`Drafts`} className="mx-4 rounded-md border in-[section_section]:mx-0">
      {drafts.map((each) => (
        <li key={each.id} className="flex items-center border-b border-border/60 last:border-0">
          <Link
            to="/drafts/$draft"
            params={{ draft: each.id }}
            search={{}}
            className="flex min-w-0 flex-1 flex-wrap items-center gap-x-3 px-3 py-1.5 hover:bg-muted"
          >
            <PencilRuler aria-hidden className="size-4 text-muted-foreground" />
            <span className="truncate font-medium">{named ? each.integration : t`Draft`}</span>
            <span className="text-muted-foreground">
              {each.base === null ? t`new` : <Trans>from version {each.base.number}</Trans>}
            </span>
            <span className="ml-auto text-muted-foreground">
              <Trans>
                last edited by {each.changed_by}, <Time at={each.changed_at} distance />
              </Trans>
            </span>
          </Link>
          {can("publish") && (
            <IconButton
              name={t`Delete the draft of ${each.integration}`}
              onClick={() => setGone(each)}
            >
              <Trash2 aria-hidden />
            </IconButton>
          )}
        </li>
      ))}
      {gone !== null && (
        <Confirm
          title={t`Delete the draft of ${gone.integration}`}
          verb={t`Delete`}
          danger
          onClose={() => setGone(null)}
          onConfirm={async () => {
            const path = { draft: gone.id }
            await api.DELETE("/api/drafts/{draft}", { params: { path } })
            await client.invalidateQueries({ queryKey: ["drafts"] })
          }}
        >
          <p>{t`What was published of it stays; all else that is in it is lost.`}</p>
        </Confirm>
      )}
    </ul>
  )
}

/** A new integration: from a template, or of a text that is pasted. */
export function BeginDialog({ onClose }: { onClose: () => void }) {
  const begin = useBegin()
  const sets = useComponentSets()
  const { now, change, drop } = useDraft("begin-draft", {
    name: "",
    text: "",
    components: sets[0]?.id ?? "",
  })
  const name = now.name.trim()
  const wrong =
    name === "" || /^[a-z][a-z0-9]*([-_][a-z0-9]+)*$/.test(name)
      ? null
      : t`A name has small letters, digits, - and _, and begins with a letter`
  const submit = () => {
    if (name === "" || wrong !== null) return
    const text = now.text.trim() === "" ? null : now.text
    const components = now.components === "" ? null : now.components
    begin.mutate({ integration: name, text, components }, { onSuccess: drop })
  }
  return (
    <Dialog
      title={t`New integration`}
      onClose={onClose}
      onSubmit={submit}
      footer={
        <>
          <Button onClick={onClose}>{t`Cancel`}</Button>
          <Button
            type="submit"
            look="primary"
            busy={begin.isPending}
            disabled={name === "" || wrong !== null}
          >
            {t`Begin`}
          </Button>
        </>
      }
    >
      <Field label={t`Name`} hint={t`As orders, or salesforce-acme`} error={wrong}>
        {(control) => (
          <Input
            {...control}
            autoFocus
            autoComplete="off"
            value={now.name}
            onChange={(event) => change({ name: event.target.value })}
          />
        )}
      </Field>
      {sets.length > 0 && (
        <Field label={t`Components`} hint={t`Your own apps, as they were last deployed`}>
          {(control) => (
            <SetSelect
              {...control}
              sets={sets}
              none={t`None: the built-in apps only`}
              value={now.components}
              onChange={(event) => change({ components: event.target.value })}
            />
          )}
        </Field>
      )}
      <Field
        label={t`YAML`}
        hint={t`Paste a document that you have; without one, it begins with a webhook and a step.`}
      >
        {(control) => (
          <Textarea
            {...control}
            rows={6}
            value={now.text}
            onChange={(event) => {
              const text = event.target.value
              const named = /^name:\s*([a-z0-9_-]+)\s*$/m.exec(text)?.[1]
              change(named === undefined || name !== "" ? { text } : { text, name: named })
            }}
          />
        )}
      </Field>
      <FormError error={begin.error} />
    </Dialog>
  )
}
