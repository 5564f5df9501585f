import { t } from "@lingui/core/macro"
import { Plural, Trans } from "@lingui/react/macro"
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { Boxes, Trash2 } from "lucide-react"
import { type ComponentProps, Fragment, useState } from "react"
import { answerOf, api, type Schemas } from "~/api/client"
import { useSession } from "~/features/session/context"
import { useReturn } from "~/features/session/renewal"
import { Button, IconButton } from "~/ui/button"
import { Confirm } from "~/ui/confirm"
import { Dialog } from "~/ui/dialog"
import { Field, Select } from "~/ui/field"
import { ErrorNotice, FormError, Loading } from "~/ui/notice"
import { Time } from "~/ui/time"
import { toast } from "~/ui/toast"
import type { DraftHandle } from "../draft/handle"
import { spotsIn } from "../tree/walk"

type ComponentSet = Schemas["ComponentSetView"]
type SetRow = Schemas["ComponentSetRow"]
type CallChange = Schemas["CallChange"]

const nameOf = (set: ComponentSet) => `${set.name} ${set.number}`

function useAllSets(staleTime: number) {
  const query = useQuery({
    queryKey: ["component-sets"],
    staleTime,
    queryFn: async () => {
      const query = { limit: 200 }
      return (await answerOf(api.GET("/api/component-sets", { params: { query } }))).items
    },
  })
  useReturn(() => void query.refetch({ cancelRefetch: false }))
  return query
}

/** The newest component set of each name, the latest first. */
export function useComponentSets(): ComponentSet[] {
  const { data = [] } = useAllSets(10_000)
  return data.filter((set, at) => data.findIndex(({ name }) => name === set.name) === at)
}

/** All component sets: who sent each, which drafts use it; those that none uses can be deleted. */
export function ComponentSets() {
  const { can } = useSession()
  const client = useQueryClient()
  const { data, error, refetch } = useAllSets(0)
  const [gone, setGone] = useState<SetRow | null>(null)
  if (data?.length === 0) return null
  return (
    <section aria-label={t`Components`} className="flex flex-col gap-2 px-4 py-4">
      <h2 className="font-semibold">{t`Components`}</h2>
      <p className="text-muted-foreground">
        <Trans>
          The components of your own apps, as <code>halflap deploy --components</code> sent them for
          drafts. What was published has files of its own.
        </Trans>
      </p>
      {error !== null && <ErrorNotice error={error} retry={() => void refetch()} />}
      {data === undefined && error === null && <Loading lines={2} />}
      <ul aria-label={t`Component sets`} className="rounded-md border empty:hidden">
        {data?.map((set) => (
          <li
            key={set.id}
            className="flex items-center gap-3 border-b border-border/60 px-3 py-1.5 last:border-0"
          >
            <Boxes aria-hidden className="size-4 shrink-0 text-muted-foreground" />
            <div className="flex min-w-0 flex-1 flex-wrap gap-x-3">
              <span className="font-medium">{nameOf(set)}</span>
              <code title={set.hash}>{set.hash.slice(0, 12)}</code>
              <span className="min-w-0 break-words">{set.components.join(", ")}</span>
              <span className="text-muted-foreground">
                {set.drafts.length === 0 ? (
                  t`used by no draft`
                ) : (
                  <Trans>
                    used by{" "}
                    {set.drafts.map(({ id, integration }, at) => (
                      <Fragment key={id}>
                        {at > 0 && ", "}
                        <Link
                          to="/drafts/$draft"
                          params={{ draft: id }}
                          search={{}}
                          className="link"
                        >
                          {integration}
                        </Link>
                      </Fragment>
                    ))}
                  </Trans>
                )}
              </span>
              <span className="ml-auto text-muted-foreground">
                {senderOf(set)}, <Time at={set.published_at} distance />
              </span>
            </div>
            {can("publish") && (
              <IconButton
                name={t`Delete ${nameOf(set)}`}
                disabled={set.drafts.length > 0}
                onClick={() => setGone(set)}
              >
                <Trash2 aria-hidden />
              </IconButton>
            )}
          </li>
        ))}
      </ul>
      {gone !== null && (
        <Confirm
          title={t`Delete ${nameOf(gone)}`}
          verb={t`Delete`}
          danger
          onClose={() => setGone(null)}
          onConfirm={async () => {
            const path = { component_set: gone.id }
            await api.DELETE("/api/component-sets/{component_set}", { params: { path } })
            await client.invalidateQueries({ queryKey: ["component-sets"] })
          }}
        >
          <p>{t`No draft can use these components any more, until they are sent again.`}</p>
        </Confirm>
      )}
    </section>
  )
}

const senderOf = ({ published_by: by }: ComponentSet) => (by === "" ? t`the team's token` : by)

/** Choose one of component sets, or none. */
export function SetSelect({
  sets,
  none,
  ...rest
}: ComponentProps<typeof Select> & { sets: readonly ComponentSet[]; none: string }) {
  return (
    <Select {...rest}>
      {sets.map((set) => (
        <option key={set.id} value={set.id}>
          {nameOf(set)}: {set.components.join(", ")}
        </option>
      ))}
      <option value="">{none}</option>
    </Select>
  )
}

/** The components of a draft, at its top: which they are, and whether there are newer ones. */
export function ComponentsButton({ draft, onOpen }: { draft: DraftHandle; onOpen: () => void }) {
  const sets = useComponentSets()
  const pinned = draft.state.components
  const newest = sets.find(({ name }) => name === pinned?.name)
  if (pinned === null && sets.length === 0) return null
  return (
    <Button look="ghost" icon={<Boxes aria-hidden />} disabled={draft.readOnly} onClick={onOpen}>
      {pinned === null ? t`Components` : nameOf(pinned)}
      {newest !== undefined && newest.id !== pinned?.id && (
        <span className="text-waiting">{t`newer: ${newest.number}`}</span>
      )}
    </Button>
  )
}

/** Choose the component set of a draft, with what it has otherwise than the one that it has. */
export function ComponentsDialog({ draft, onClose }: { draft: DraftHandle; onClose: () => void }) {
  const newest = useComponentSets()
  const pinned = draft.state.components
  const sets =
    pinned === null || newest.some(({ id }) => id === pinned.id) ? newest : [...newest, pinned]
  const usual = sets.find(({ name }) => pinned === null || name === pinned.name)?.id ?? ""
  const [chosen, setChosen] = useState<string | null>(null)
  const wanted = chosen ?? usual
  const same = wanted === (pinned?.id ?? "")
  const changes = useQuery({
    queryKey: ["draft", draft.id, "components", pinned?.id, wanted],
    enabled: wanted !== "" && !same,
    queryFn: async () => {
      const params = { path: { draft: draft.id }, query: { against: wanted } }
      return (await answerOf(api.GET("/api/drafts/{draft}/components", { params }))).changes
    },
  })
  const pin = useMutation({
    mutationFn: () => draft.pinComponents(wanted === "" ? null : wanted),
    onSuccess: () => {
      toast(t`The draft has these components now`)
      onClose()
    },
  })
  const { base } = draft.state
  const sent = sets.find(({ id }) => id === wanted)
  return (
    <Dialog
      title={t`Components`}
      onClose={onClose}
      onSubmit={() => pin.mutate()}
      footer={
        <>
          <Button onClick={onClose}>{t`Cancel`}</Button>
          <Button type="submit" look="primary" busy={pin.isPending} disabled={same}>
            {t`Use these`}
          </Button>
        </>
      }
    >
      <Field
        label={t`Components of this draft`}
        hint={
          same && pinned !== null
            ? t`It has these; there are no newer ones of that name.`
            : t`As a project sent them: halflap deploy --components`
        }
      >
        {(control) => (
          <SetSelect
            {...control}
            sets={sets}
            none={
              base === null ? t`None: the built-in apps only` : t`Those of version ${base.number}`
            }
            value={wanted}
            onChange={(event) => setChosen(event.target.value)}
          />
        )}
      </Field>
      {sent !== undefined && <SentBy set={sent} />}
      {wanted !== "" && !same && (
        <section aria-label={t`What changes`} className="flex flex-col gap-1">
          {changes.data === undefined ? (
            changes.error === null && <Loading lines={2} />
          ) : (
            <Changed changes={changes.data} draft={draft} />
          )}
        </section>
      )}
      <FormError error={pin.error ?? changes.error} />
    </Dialog>
  )
}

/** Who sent a set, and when: anyone who may publish can send one of any name. */
function SentBy({ set }: { set: ComponentSet }) {
  const name = nameOf(set)
  const by = senderOf(set)
  return (
    <p className="text-muted-foreground">
      <Trans>
        {name} was sent by {by}, <Time at={set.published_at} distance />
      </Trans>
    </p>
  )
}

/** What another set has otherwise: what the flows use first, then what is gone. */
function Changed({ changes, draft }: { changes: CallChange[]; draft: DraftHandle }) {
  if (changes.length === 0) return <p>{t`Its actions and triggers are as they are here.`}</p>
  const rank = { removed: 0, changed: 1, added: 2 }
  const words = { removed: t`gone`, changed: t`changed`, added: t`new` }
  const all = changes
    .map((each) => ({ ...each, uses: usesOf(draft, each) }))
    .toSorted(
      (one, other) =>
        Number(other.uses > 0) - Number(one.uses > 0) || rank[one.change] - rank[other.change],
    )
  return (
    <ul className="max-h-60 overflow-auto rounded-md border">
      {all.map(({ name, kind, change, uses }) => (
        <li
          key={`${kind} ${name}`}
          className="flex flex-wrap gap-x-2 border-b border-border/60 px-2 py-1 last:border-0"
        >
          <code>{name}</code>
          <span className={change === "removed" ? "text-failed-text" : "text-muted-foreground"}>
            {words[change]}
          </span>
          {uses > 0 && (
            <span className="ml-auto text-waiting">
              <Plural value={uses} one="used once here" other="used # times here" />
            </span>
          )}
        </li>
      ))}
    </ul>
  )
}

/** How often a draft's flows use an action or a trigger. */
function usesOf({ flows }: DraftHandle, { kind, name }: CallChange): number {
  if (kind === "trigger") return flows.filter(({ trigger }) => trigger === name).length
  const steps = flows.flatMap((flow) => [...spotsIn(flow)])
  return steps.filter(({ node }) => node.fields["action"] === name).length
}
