import { t } from "@lingui/core/macro"
import { Plural, Trans } from "@lingui/react/macro"
import { keepPreviousData, useMutation, useQuery } from "@tanstack/react-query"
import { useState } from "react"
import type { Bulk } from "~/api/bulks"
import { answerOf, api, exactBody, type Schemas } from "~/api/client"
import { formQuery } from "~/api/instances"
import { ApiError } from "~/api/problem"
import { useDraft } from "~/features/session/draft"
import { Button } from "~/ui/button"
import { Dialog } from "~/ui/dialog"
import { Choice, Field, Input, Select } from "~/ui/field"
import { ErrorNotice, FormError, Loading } from "~/ui/notice"
import type { Integration } from "./queries"
import { Questions } from "./questions"

type Plan = Schemas["UpgradePlan"]
type Draft = Schemas["UpgradeMany"]
type Way = "all" | "share" | "first" | "only"
type Named = Record<string, string>
type Form = {
  version: number
  way: Way
  share: string
  chosen: Named
  mostFailed: string
  /** The rule by which it pauses itself: the share that may fail, of so many; none, and a person decides. */
  rule: { failed: string; of: string } | null
  leavesOut: boolean
}

const RULE = { failed: "5%", of: "20" }

/** Choose which instances move to which version, see the plan, and begin. */
export function UpgradeDialog({
  integration,
  version,
  onClose,
  onBegun,
}: {
  integration: Integration
  version: number
  onClose: () => void
  onBegun: (bulk: string) => void
}) {
  const initial: Form = {
    version,
    way: "share",
    share: "10%",
    chosen: {},
    mostFailed: "10%",
    rule: null,
    leavesOut: false,
  }
  const { now: form, change: set, drop } = useDraft(`upgrade:${integration.name}`, initial)
  const [search, setSearch] = useState("")
  const [config, setConfig] = useState("{}")
  const hash = integration.versions.find((each) => each.number === form.version)?.hash ?? ""
  const pages = useQuery({ ...formQuery(integration.name, hash), enabled: hash !== "" }).data?.pages
  const ids = Object.keys(form.chosen)
  const body: Draft = {
    stay: [],
    stages: [],
    version: String(form.version),
    instances: form.way === "only" ? ids : [],
    canary: form.way === "share" ? form.share.trim() : form.way === "first" ? ids : null,
    most_failed: form.mostFailed.trim() || "0",
    named: "",
    dry_run: false,
    between: 0,
    leave_out: [],
    pause_on:
      form.rule === null || form.way === "only" || form.way === "all"
        ? null
        : { failed: form.rule.failed.trim(), of: Number(form.rule.of) },
  }
  const chooses = form.way === "first" || form.way === "only"
  const lacks = chooses && ids.length === 0
  const path = { integration: integration.name }
  // The values keep their digits: they are put into the text of the request.
  const bodyOf = (draft: Draft, values: string) =>
    exactBody(`${JSON.stringify(draft).slice(0, -1)},"config":${values}}`)
  const planOf = async (draft: Draft, values: string, signal: AbortSignal): Promise<Plan> => {
    const given = { params: { path }, ...bodyOf({ ...draft, dry_run: true }, values), signal }
    return (await answerOf(api.POST("/api/integrations/{integration}/upgrade", given))) as Plan
  }
  const plan = useQuery({
    queryKey: ["upgrade-plan", integration.name, body, config],
    gcTime: 0,
    placeholderData: keepPreviousData,
    retry: false,
    enabled: !lacks,
    queryFn: ({ signal }) => planOf(body, config, signal),
  })
  const listed = useQuery({
    queryKey: ["upgrade-choice", integration.name, form.version, search],
    gcTime: 0,
    placeholderData: keepPreviousData,
    enabled: chooses,
    queryFn: ({ signal }) =>
      planOf({ version: String(form.version), named: search } as Draft, "{}", signal),
  })
  const blocked = plan.data?.instances.filter((each) => each.why !== null) ?? []
  const out = form.leavesOut ? blocked : []
  const asked = plan.data?.asked ?? []
  const begin = useMutation({
    mutationFn: async () => {
      // The canary is the one that the plan has named.
      const canary = plan.data?.canary.map((each) => each.id) ?? []
      const named = form.way === "share" ? { ...body, canary } : body
      const draft = { ...named, leave_out: out.map((each) => each.id) }
      const given = { params: { path }, ...bodyOf(draft, config) }
      return (await answerOf(api.POST("/api/integrations/{integration}/upgrade", given))) as Bulk
    },
    onSuccess: (made) => {
      drop()
      onBegun(made.id)
    },
  })
  const wrong = plan.error instanceof ApiError ? (plan.error.problem.fields ?? {}) : {}
  const misfit = plan.error !== null && Object.keys(wrong).length === 0
  const now = lacks || plan.isError ? undefined : plan.data
  const first = form.way === "share" || form.way === "first" ? (now?.canary.length ?? 0) : 0
  const total = Math.max(0, (now?.total ?? 0) - out.length)
  const cannot = now === undefined || total === 0 || (form.way === "share" && first === 0)
  return (
    <Dialog
      title={t`Upgrade instances of ${integration.title}`}
      wide
      onClose={onClose}
      onSubmit={() => !cannot && begin.mutate()}
      footer={
        <>
          <Button
            onClick={() => {
              drop()
              onClose()
            }}
          >{t`Cancel`}</Button>
          <Button
            type="submit"
            look="primary"
            busy={begin.isPending}
            disabled={cannot || plan.isPlaceholderData}
          >
            {first > 0 && first < total
              ? t`Upgrade the first ${first.toLocaleString()}`
              : t`Upgrade ${total.toLocaleString()}`}
          </Button>
        </>
      }
    >
      <div className="grid gap-3 sm:grid-cols-2">
        <Field label={t`To version`}>
          {(control) => (
            <Select
              {...control}
              autoFocus
              value={form.version}
              onChange={(e) => set({ version: Number(e.target.value) })}
            >
              {integration.versions.map((each) => (
                <option key={each.hash} value={each.number}>
                  {each.number} {each.note === "" ? "" : `· ${each.note.slice(0, 60)}`}
                </option>
              ))}
            </Select>
          )}
        </Field>
        <Field
          label={t`Stop where more cannot be moved than`}
          error={wrong["most_failed"] ?? null}
          hint={t`a number, or a share of those that are being moved`}
        >
          {(control) => (
            <Input
              {...control}
              value={form.mostFailed}
              onChange={(e) => set({ mostFailed: e.target.value })}
            />
          )}
        </Field>
      </div>
      <fieldset className="flex flex-col gap-2">
        <legend className="pb-1 text-xs font-medium">{t`Which instances`}</legend>
        <Ways way={form.way} onPick={(way) => set({ way })} />
      </fieldset>
      {form.way === "share" && (
        <Field
          label={t`How many first`}
          error={wrong["canary"] ?? null}
          hint={t`a number, or a share of all, as 10%`}
        >
          {(control) => (
            <Input
              {...control}
              className="max-w-32"
              value={form.share}
              onChange={(e) => set({ share: e.target.value })}
            />
          )}
        </Field>
      )}
      {chooses && (
        <Chooser
          plan={listed.data}
          error={listed.error}
          chosen={form.chosen}
          search={search}
          onSearch={setSearch}
          onChange={(chosen) => set({ chosen })}
        />
      )}
      {(form.way === "share" || form.way === "first") && (
        <RuleFields rule={form.rule} wrong={wrong} onRule={(rule) => set({ rule })} />
      )}
      {asked.length > 0 && pages !== undefined && !plan.isPlaceholderData && (
        <Questions
          key={`${hash} ${asked.join(" ")}`}
          integration={integration.name}
          version={hash}
          pages={pages}
          asked={asked}
          onConfig={setConfig}
        />
      )}
      {misfit && <ErrorNotice error={plan.error} retry={() => void plan.refetch()} />}
      {!lacks && plan.isPending && <Loading lines={3} />}
      {now !== undefined && <PlanSummary plan={now} version={form.version} />}
      {blocked.length > 0 && (
        <Choice
          label={t`Leave out what cannot be moved`}
          hint={t`It stays on its version, and does not count as failed.`}
          checked={form.leavesOut}
          onChange={(event) => set({ leavesOut: event.target.checked })}
        />
      )}
      <FormError error={begin.error} />
    </Dialog>
  )
}

/** Whether a person decides behind the canary, or a rule. */
function RuleFields({
  rule,
  wrong,
  onRule,
}: {
  rule: Form["rule"]
  wrong: Record<string, string>
  onRule: (rule: Form["rule"]) => void
}) {
  return (
    <div className="flex flex-col gap-2">
      <Choice
        label={t`Go on by itself, and pause only by a rule`}
        hint={t`Behind the canary it waits until enough executions of the new version have ended.`}
        checked={rule !== null}
        onChange={(event) => onRule(event.target.checked ? RULE : null)}
      />
      {rule !== null && (
        <div className="flex flex-wrap gap-3 pl-5.5">
          <Field label={t`Pause where more fail than`} error={wrong["pause_on.failed"] ?? null}>
            {(control) => (
              <Input
                {...control}
                className="max-w-28"
                value={rule.failed}
                onChange={(event) => onRule({ ...rule, failed: event.target.value })}
              />
            )}
          </Field>
          <Field label={t`Of so many executions at least`} error={wrong["pause_on.of"] ?? null}>
            {(control) => (
              <Input
                {...control}
                inputMode="numeric"
                className="max-w-28"
                value={rule.of}
                onChange={(event) => onRule({ ...rule, of: event.target.value })}
              />
            )}
          </Field>
        </div>
      )}
    </div>
  )
}

function Ways({ way, onPick }: { way: Way; onPick: (way: Way) => void }) {
  const ways: [Way, string, string][] = [
    [
      "share",
      t`A share first, as a canary`,
      t`Then it pauses: look at the figures, go on with the rest, or go back.`,
    ],
    ["first", t`Some that you choose first, as a canary`, t`Then it pauses in the same way.`],
    ["only", t`Only some that you choose`, t`The others stay on their versions.`],
    ["all", t`All at once`, t`It stops by itself where too many cannot be moved.`],
  ]
  return ways.map(([each, label, hint]) => (
    <Choice
      key={each}
      type="radio"
      name="way"
      label={label}
      hint={hint}
      checked={way === each}
      onChange={() => onPick(each)}
    />
  ))
}

function Chooser({
  plan,
  error,
  chosen,
  search,
  onSearch,
  onChange,
}: {
  plan: Plan | undefined
  error: unknown
  chosen: Named
  search: string
  onSearch: (search: string) => void
  onChange: (chosen: Named) => void
}) {
  const rows = plan?.instances ?? []
  const toggle = (id: string, name: string) => {
    const { [id]: had, ...rest } = chosen
    onChange(had === undefined ? { ...chosen, [id]: name } : rest)
  }
  const count = Object.keys(chosen).length
  return (
    <section aria-label={t`Choose instances`} className="flex flex-col gap-2">
      <div className="flex items-center gap-3">
        <Input
          type="search"
          aria-label={t`Search by customer or name`}
          placeholder={t`Search by customer or name`}
          className="max-w-72"
          value={search}
          onChange={(event) => onSearch(event.target.value)}
        />
        <span aria-live="polite" className="text-muted-foreground">
          <Plural value={count} one="# chosen" other="# chosen" />
        </span>
        {count > 0 && <Button look="ghost" onClick={() => onChange({})}>{t`Choose none`}</Button>}
      </div>
      {error !== null && <ErrorNotice error={error} />}
      {plan === undefined && error === null && <Loading lines={3} />}
      {plan !== undefined && rows.length === 0 && (
        <p className="text-muted-foreground">
          {search === "" ? t`All instances are on this version.` : t`No instance matches.`}
        </p>
      )}
      {rows.length > 0 && (
        <ul className="max-h-56 overflow-auto rounded-md border">
          {rows.map((each) => {
            const name = `${each.customer_name} / ${each.name}`
            return (
              <li key={each.id} className="border-b border-border/60 last:border-0">
                <label className="flex items-center gap-2 px-3 py-1 hover:bg-muted">
                  <input
                    type="checkbox"
                    className="size-3.5 shrink-0 accent-primary"
                    checked={chosen[each.id] !== undefined}
                    onChange={() => toggle(each.id, name)}
                  />
                  <span className="min-w-0 truncate">{name}</span>
                  <span className="ml-auto flex shrink-0 items-center gap-3 text-xs text-muted-foreground">
                    {each.why !== null && (
                      <span className="max-w-56 truncate text-waiting" title={each.why}>
                        {Object.entries(each.fields)
                          .map(([field, what]) => `${field}: ${what}`)
                          .join(", ") || each.why}
                      </span>
                    )}
                    <span>{each.state}</span>
                    <span>{t`on ${each.version.number ?? each.version.hash.slice(0, 8)}`}</span>
                  </span>
                </label>
              </li>
            )
          })}
        </ul>
      )}
    </section>
  )
}

/** True where something lacks that cannot be answered for all. */
function isForOne(fields: Record<string, string>, asked: readonly string[]): boolean {
  return Object.keys(fields).some((path) => !asked.includes(path.split(".")[0] ?? path))
}

/** Who gets which value: those that get one for all, and those that get a default. */
function Values({ plan }: { plan: Plan }) {
  const kinds = [
    ["given", t`get the value above`],
    ["defaults", t`get its default`],
  ] as const
  const found = kinds.flatMap(([kind, words]) =>
    [...new Set(plan.instances.flatMap((each) => each[kind]))].map((field) => ({
      field,
      words,
      some: plan.instances.filter((each) => each.why === null && each[kind].includes(field)),
    })),
  )
  const shown = found.filter((each) => each.some.length > 0)
  if (shown.length === 0) return null
  return (
    <ul aria-label={t`Values`} className="flex flex-col gap-1">
      {shown.map(({ field, words, some }) => (
        <li key={`${field} ${words}`}>
          <details>
            <summary className="cursor-pointer">
              <code>{field}</code>:{" "}
              <Plural value={some.length} one="# instance" other="# instances" />, {words}
            </summary>
            <p className="max-h-24 overflow-auto pl-4 text-xs text-muted-foreground">
              {some.map((each) => `${each.customer_name} / ${each.name}`).join(", ")}
            </p>
          </details>
        </li>
      ))}
    </ul>
  )
}

function PlanSummary({ plan, version }: { plan: Plan; version: number }) {
  const examined = plan.instances.length
  const asleep = plan.instances.filter((each) => ["configured", "disabled"].includes(each.state))
  const busy = plan.instances.filter((each) => each.state.endsWith("ing"))
  return (
    <section aria-label={t`Plan`} className="flex flex-col gap-2 border-t pt-3">
      <p className="text-base">
        <Plural
          value={plan.total}
          _0="All instances are on this version already."
          one="# instance is meant."
          other="# instances are meant."
        />{" "}
        {plan.ready < examined && (
          <span className="text-waiting">
            <Trans>
              Of the first {examined.toLocaleString()}, {(examined - plan.ready).toLocaleString()}{" "}
              cannot be moved.
            </Trans>
          </span>
        )}
      </p>
      {plan.canary.length > 0 && (
        <div>
          <p className="font-medium">{t`First`}</p>
          <ul
            aria-label={t`Canary`}
            className="flex max-h-24 flex-wrap gap-x-3 gap-y-0.5 overflow-auto"
          >
            {plan.canary.map((each) => (
              <li key={each.id}>
                {each.customer_name} / {each.name}
              </li>
            ))}
          </ul>
        </div>
      )}
      {plan.blocked.map((each) => (
        <div key={each.why} className="min-w-0">
          <p className="text-waiting">
            <Plural value={each.count} one="# cannot be:" other="# cannot be:" />{" "}
            {Object.entries(each.fields)
              .map(([field, what]) => `${field}: ${what}`)
              .join(", ") || each.why}
          </p>
          <p className="truncate text-xs text-muted-foreground">
            {each.instances.map((one) => `${one.customer_name} / ${one.name}`).join(", ")}
            {each.count > each.instances.length && " …"}
          </p>
          {isForOne(each.fields, plan.asked) && each.instances[0] !== undefined && (
            <p className="text-xs text-muted-foreground">
              {t`They need connections of their own. Give them one by one:`}{" "}
              <code>
                halflap instances upgrade &quot;{each.instances[0].customer_name}/
                {each.instances[0].name}&quot; --version {version}
              </code>
            </p>
          )}
        </div>
      ))}
      <Values plan={plan} />
      {asleep.length > 0 && (
        <p className="text-muted-foreground">
          <Plural
            value={asleep.length}
            one="# is not active: it gets the version, and nothing is deployed."
            other="# are not active: they get the version, and nothing is deployed."
          />
        </p>
      )}
      {busy.length > 0 && (
        <p className="text-muted-foreground">
          <Plural
            value={busy.length}
            one="# is being deployed now: that is waited for."
            other="# are being deployed now: that is waited for."
          />
        </p>
      )}
    </section>
  )
}
