import { t } from "@lingui/core/macro"
import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query"
import { Eye, EyeOff, Plus, X } from "lucide-react"
import { type ReactNode, useId, useMemo, useState } from "react"
import { Button, IconButton } from "~/ui/button"
import { Combobox, type Option } from "~/ui/combobox"
import { Choice, Field, Input, Select, Textarea } from "~/ui/field"
import { useChoices } from "./choices"
import {
  type Control,
  type Raw,
  rawOf,
  type Raws,
  rawsOf,
  typedIn,
  variantFor,
  type Wrong,
} from "./schema"
import { bare } from "./shown"
import type { FormState } from "./state"

const FEW = 6

/** Say what is wrong with a field. */
export function wrongWords(wrong: Wrong): string {
  switch (wrong.code) {
    case "missing":
      return t`Fill this in.`
    case "number":
      return t`This is a number, such as 12.5.`
    case "integer":
      return t`This is a whole number.`
    case "json":
      return t`It is no JSON: ${wrong.fault}`
    case "schedule":
      return t`A schedule has five parts: minute, hour, day, month, weekday.`
    case "date":
      return t`This is no date.`
    case "url":
      return t`This is an address that begins with https://.`
    case "email":
      return t`This is no email address.`
    case "twice":
      return t`This is there twice.`
    case "least":
      return t`At least ${wrong.bound}.`
    case "most":
      return t`At most ${wrong.bound}.`
    case "above":
      return t`More than ${wrong.bound}.`
    case "below":
      return t`Less than ${wrong.bound}.`
    case "shortest":
      return t`Too short: at least ${wrong.bound}.`
    case "longest":
      return t`Too long: at most ${wrong.bound}.`
    case "pattern":
      return t`This does not have the form that is wanted: ${wrong.pattern}`
  }
}

/** The fields of a form, one below the other. */
export function Fields({
  controls,
  form,
  kept,
}: {
  controls: readonly Control[]
  form: FormState
  kept?: ReadonlySet<string>
}) {
  return controls.map((each) => (
    <ControlField
      key={each.name}
      control={each}
      path={each.name}
      raw={form.raws[each.name]}
      onChange={(raw) => form.set(each.name, raw)}
      form={form}
      {...(kept === undefined ? {} : { kept })}
    />
  ))
}

type Props = {
  control: Control
  path: string
  raw: Raw | undefined
  onChange: (raw: Raw) => void
  form: FormState
  kept?: ReadonlySet<string>
}

function errorOf(form: FormState, path: string): string | null {
  const said = form.said.get(path)
  if (said !== undefined) return said
  const wrong = form.wrong.get(path)
  return wrong !== undefined && form.shown(path) ? wrongWords(wrong) : null
}

/** A field with its label, its help, and what is wrong with it. */
export function ControlField(props: Props) {
  const { control, path, raw, onChange, form } = props
  const error = errorOf(form, path)
  if (form.hidden.has(path)) return null
  switch (control.kind) {
    case "boolean":
      return (
        <div className="flex flex-col gap-1">
          <Choice
            label={control.title}
            checked={raw === true}
            onChange={(event) => onChange(event.target.checked)}
            {...(control.description === "" ? {} : { hint: control.description })}
          />
          {error !== null && <ErrorLine>{error}</ErrorLine>}
        </div>
      )
    case "group":
      return (
        <Group title={control.title} hint={control.description} error={error}>
          <Inner {...props} fields={control.fields ?? []} />
        </Group>
      )
    case "variants":
      return <VariantField {...props} error={error} />
    case "list":
      return <ListField {...props} error={error} />
    case "mapping":
      return <MappingField {...props} error={error} />
    default: {
      const label = control.required ? control.title : t`${control.title} (optional)`
      return (
        <Field label={label} hint={control.description || undefined} error={error}>
          {(said) => (
            <Simple
              {...props}
              id={said.id}
              describedBy={said["aria-describedby"]}
              invalid={error !== null}
            />
          )}
        </Field>
      )
    }
  }
}

function ErrorLine({ children }: { children: ReactNode }) {
  return <p className="text-xs text-failed-text">{children}</p>
}

function Group({
  title,
  hint,
  error,
  children,
}: {
  title: string
  hint?: string
  error?: string | null
  children: ReactNode
}) {
  return (
    <fieldset className="flex min-w-0 flex-col gap-3 rounded-md border px-3 pt-1 pb-3">
      <legend className="px-1 text-xs font-medium">{title}</legend>
      {hint !== undefined && hint !== "" && <p className="text-xs text-muted-foreground">{hint}</p>}
      {children}
      {error != null && <ErrorLine>{error}</ErrorLine>}
    </fieldset>
  )
}

/** The fields within a field. */
function Inner({
  fields,
  raw,
  onChange,
  path,
  form,
  kept,
}: Props & { fields: readonly Control[] }) {
  const held = (raw ?? {}) as Raws
  return fields.map((each) => (
    <ControlField
      key={each.name}
      control={each}
      path={`${path}.${each.name}`}
      raw={held[each.name]}
      onChange={(next) => onChange({ ...held, [each.name]: next })}
      form={form}
      {...(kept === undefined ? {} : { kept })}
    />
  ))
}

function VariantField(props: Props & { error: string | null }) {
  const { control, raw, onChange, error } = props
  const name = useId()
  const tagName = control.tagName ?? ""
  const held = (raw ?? {}) as Raws
  const chosen = variantFor(control, typedIn(held[tagName]))
  return (
    <Group title={control.title} hint={control.description} error={error}>
      {(control.variants ?? []).length > 1 && (
        <div className="flex flex-col gap-1.5">
          {control.variants?.map((each) => (
            <Choice
              key={each.tag}
              type="radio"
              name={name}
              label={each.title}
              hint={each.description}
              checked={each === chosen}
              onChange={() => onChange({ ...rawsOf(each.fields), [tagName]: each.tag })}
            />
          ))}
        </div>
      )}
      {chosen !== undefined && <Inner {...props} fields={chosen.fields} />}
    </Group>
  )
}

function ListField(props: Props & { error: string | null }) {
  const { control, raw, onChange, form, path, error } = props
  const item = control.item as Control
  const rows = (raw ?? []) as Raw[]
  const title = control.required ? control.title : t`${control.title} (optional)`
  const fixed =
    item.kind === "choice" && item.source === undefined && (item.choices ?? []).length <= 12
  if (fixed) {
    return (
      <Group title={title} hint={control.description} error={error}>
        {item.choices?.map((each) => (
          <Choice
            key={each.value}
            label={each.label}
            checked={rows.includes(each.value)}
            onChange={(event) =>
              onChange(
                event.target.checked
                  ? [...rows, each.value]
                  : rows.filter((value) => value !== each.value),
              )
            }
          />
        ))}
      </Group>
    )
  }
  return (
    <Group title={title} hint={control.description} error={error}>
      {rows.map((each, at) => {
        const wrong = errorOf(form, `${path}.${at}`)
        return (
          <div key={at} className="flex flex-col gap-1">
            <div className="flex items-center gap-1">
              <div className="min-w-0 flex-1">
                <Simple
                  {...props}
                  control={{ ...item, name: control.name }}
                  path={`${path}.${at}`}
                  raw={each}
                  label={`${control.title} ${at + 1}`}
                  onChange={(next) => onChange(rows.map((old, i) => (i === at ? next : old)))}
                  invalid={wrong !== null}
                />
              </div>
              <IconButton
                name={t`Remove ${at + 1}`}
                onClick={() => onChange(rows.filter((_, i) => i !== at))}
              >
                <X aria-hidden />
              </IconButton>
            </div>
            {wrong !== null && <ErrorLine>{wrong}</ErrorLine>}
          </div>
        )
      })}
      <div>
        <Button icon={<Plus aria-hidden />} onClick={() => onChange([...rows, rawOf(item)])}>
          {t`Add`}
        </Button>
      </div>
    </Group>
  )
}

function MappingField(props: Props & { error: string | null }) {
  const { control, raw, onChange, form, path, error } = props
  const rows = (raw ?? []) as Raw[][]
  const sides = [control.key as Control, control.value as Control] as const
  const change = (at: number, side: number, next: Raw) =>
    onChange(
      rows.map((row, i) => (i === at ? row.map((old, j) => (j === side ? next : old)) : row)),
    )
  return (
    <Group
      title={control.required ? control.title : t`${control.title} (optional)`}
      hint={control.description}
      error={error}
    >
      {rows.map((row, at) => {
        const wrongs = [errorOf(form, `${path}.${at}.of`), errorOf(form, `${path}.${at}.to`)]
        return (
          <div key={at} className="flex flex-col gap-1">
            <div className="grid grid-cols-[minmax(0,1fr)_auto_minmax(0,1fr)_auto] items-center gap-1.5">
              <Simple
                {...props}
                control={sides[0]}
                path={`${path}.${at}.of`}
                raw={row[0]}
                label={t`${control.title} ${at + 1}: from`}
                onChange={(next) => change(at, 0, next)}
                invalid={wrongs[0] !== null}
              />
              <span aria-hidden className="text-muted-foreground">
                →
              </span>
              <Simple
                {...props}
                control={sides[1]}
                path={`${path}.${at}.to`}
                raw={row[1]}
                label={t`${control.title} ${at + 1}: to`}
                onChange={(next) => change(at, 1, next)}
                invalid={wrongs[1] !== null}
              />
              <IconButton
                name={t`Remove ${at + 1}`}
                onClick={() => onChange(rows.filter((_, i) => i !== at))}
              >
                <X aria-hidden />
              </IconButton>
            </div>
            {wrongs.map((each, side) => each !== null && <ErrorLine key={side}>{each}</ErrorLine>)}
          </div>
        )
      })}
      <div>
        <Button icon={<Plus aria-hidden />} onClick={() => onChange([...rows, ["", ""]])}>
          {t`Add a pair`}
        </Button>
      </div>
    </Group>
  )
}

type SimpleProps = Props & {
  id?: string
  label?: string
  describedBy?: string | undefined
  invalid: boolean
}

/** One control, without its label. */
function Simple({
  control,
  path,
  raw,
  onChange,
  form,
  kept,
  id,
  label,
  describedBy,
  invalid,
}: SimpleProps) {
  const text = typeof raw === "string" ? raw : ""
  const common = {
    ...(id === undefined ? {} : { id }),
    ...(label === undefined ? {} : { "aria-label": label }),
    ...(describedBy === undefined ? {} : { "aria-describedby": describedBy }),
    ...(invalid ? { "aria-invalid": true as const } : {}),
    onBlur: () => form.leave(path),
  }
  const typed = {
    ...common,
    value: text,
    autoComplete: "off",
    onChange: (event: { target: { value: string } }) => onChange(event.target.value),
  }
  switch (control.kind) {
    case "choice":
      if (control.source !== undefined || (control.choices ?? []).length > 24) {
        return (
          <ListedChoice
            control={control}
            raw={text}
            onChange={onChange}
            invalid={invalid}
            {...(id === undefined ? {} : { id })}
            describedBy={describedBy}
          />
        )
      }
      return (
        <Select {...common} value={text} onChange={(event) => onChange(event.target.value)}>
          {(!control.required || text === "") && (
            <option value="">{control.required ? t`Choose…` : ""}</option>
          )}
          {control.choices?.map((each) => (
            <option key={each.value} value={each.value}>
              {each.label}
            </option>
          ))}
        </Select>
      )
    case "secret":
      return (
        <Secret
          typed={typed}
          kept={kept?.has(path) === true}
          long={/key|pem/i.test(control.name)}
        />
      )
    case "number":
      return <Input {...typed} inputMode="decimal" className="figures max-w-48" />
    case "date":
      return <Input {...typed} type="date" className="max-w-48" />
    case "datetime":
      return (
        <Input
          {...typed}
          type="datetime-local"
          className="max-w-64"
          value={localOf(text)}
          onChange={(event) => onChange(isoOf(event.target.value))}
        />
      )
    case "schedule":
      return <Schedule typed={typed} onChange={onChange} />
    case "time-zone":
      return (
        <TimeZone
          raw={text}
          onChange={onChange}
          invalid={invalid}
          {...(id === undefined ? {} : { id })}
          describedBy={describedBy}
        />
      )
    case "json":
      return <Textarea {...typed} rows={6} />
    default:
      return <Input {...typed} />
  }
}

function localOf(text: string): string {
  const at = Date.parse(text)
  if (Number.isNaN(at)) return ""
  const shifted = new Date(at - new Date(at).getTimezoneOffset() * 60_000)
  return shifted.toISOString().slice(0, 16)
}

function isoOf(local: string): string {
  const at = Date.parse(local)
  return Number.isNaN(at) ? "" : new Date(at).toISOString()
}

type Typed = Parameters<typeof Input>[0] & Parameters<typeof Textarea>[0]

/** A value that is written, and never shown again. */
function Secret({ typed, kept, long }: { typed: object; kept: boolean; long: boolean }) {
  const [seen, setSeen] = useState(false)
  const placeholder = kept ? t`•••••• is stored; leave blank to keep it` : undefined
  const given = { ...(typed as Typed), ...(placeholder === undefined ? {} : { placeholder }) }
  if (long && seen) {
    return (
      <div className="relative">
        <Textarea {...given} rows={5} className="pr-9" />
        <Toggle seen={seen} onToggle={() => setSeen(false)} />
      </div>
    )
  }
  return (
    <div className="relative">
      <Input
        {...given}
        type={seen ? "text" : "password"}
        autoComplete={seen ? "off" : "new-password"}
        data-1p-ignore
        className="pr-9"
      />
      <Toggle seen={seen} onToggle={() => setSeen(!seen)} />
    </div>
  )
}

function Toggle({ seen, onToggle }: { seen: boolean; onToggle: () => void }) {
  return (
    <IconButton
      name={seen ? t`Hide what is typed` : t`Show what is typed`}
      onClick={onToggle}
      className="absolute top-0.5 right-0.5 size-6"
    >
      {seen ? <EyeOff aria-hidden /> : <Eye aria-hidden />}
    </IconButton>
  )
}

const presets = (): [string, string][] => [
  ["*/15 * * * *", t`Every 15 minutes`],
  ["0 * * * *", t`Every hour`],
  ["0 8 * * *", t`Every day at 8:00`],
  ["0 8 * * 1-5", t`Monday to Friday at 8:00`],
  ["0 8 * * 1", t`Mondays at 8:00`],
  ["0 8 1 * *", t`On the first of the month at 8:00`],
]

/** A cron expression: the usual ones by name, any other as it is written. */
function Schedule({ typed, onChange }: { typed: object; onChange: (raw: Raw) => void }) {
  const { value } = typed as { value: string }
  const known = presets()
  const isKnown = known.some(([cron]) => cron === value)
  return (
    <div className="flex flex-wrap gap-2">
      <Select
        aria-label={t`Usual schedules`}
        className="max-w-64"
        value={isKnown ? value : ""}
        onChange={(event) => event.target.value !== "" && onChange(event.target.value)}
      >
        <option value="">{t`As written here`}</option>
        {known.map(([cron, title]) => (
          <option key={cron} value={cron}>
            {title}
          </option>
        ))}
      </Select>
      <Input {...typed} className="max-w-40 font-mono" spellCheck={false} />
    </div>
  )
}

type PickProps = {
  raw: string
  onChange: (raw: Raw) => void
  invalid: boolean
  id?: string
  describedBy?: string | undefined
}

function TimeZone({ raw, onChange, ...rest }: PickProps) {
  const options = useMemo(
    () =>
      ["UTC", ...Intl.supportedValuesOf("timeZone")].map((each) => ({ value: each, label: each })),
    [],
  )
  return (
    <Combobox
      {...rest}
      options={options}
      value={raw === "" ? null : { value: raw, label: raw }}
      onChange={(next) => onChange(next?.value ?? "")}
    />
  )
}

/** Return the labels of the choices that apps have listed on this page. */
export function useListedLabels(): (name: string, raw: string) => string | undefined {
  const client = useQueryClient()
  return (name, raw) => {
    for (const [, data] of client.getQueriesData<Listed>({ queryKey: ["choices", name] })) {
      const found = data?.pages.flatMap((each) => each.choices).find((each) => each.value === raw)
      if (found !== undefined) return found.label
    }
    return undefined
  }
}

/**
 * Return choices with what is typed after them, where it is the label of none. Not while they are looked
 * for: Enter would take as written what may be the label of a choice that comes.
 */
export function withTyped(listed: Option[], typed: string, looking: boolean): Option[] {
  if (looking || typed === "" || listed.some((each) => each.label === typed)) return listed
  return [...listed, { value: JSON.stringify(typed), label: typed, hint: t`as written` }]
}

type Listed = { pages: { choices: Option[] }[] }

/** A choice among what the connected app lists, or among many. */
function ListedChoice({ control, raw, onChange, ...rest }: PickProps & { control: Control }) {
  const { list, version } = useChoices()
  const [search, setSearch] = useState("")
  const [wanted, setWanted] = useState(false)
  const { source } = control
  const depends = version(source?.depends ?? [])
  const query = useInfiniteQuery({
    queryKey: ["choices", control.name, depends, search],
    enabled: wanted && source !== undefined && list !== null,
    staleTime: 60_000,
    retry: false,
    initialPageParam: null as string | null,
    getNextPageParam: (page: { next: string | null }) => page.next,
    queryFn: ({ signal, pageParam }) =>
      (list as NonNullable<typeof list>)(control.name, search, pageParam, signal),
  })
  const listed = useMemo(
    (): Option[] =>
      source === undefined
        ? (control.choices ?? [])
        : (query.data?.pages.flatMap((page) => page.choices) ?? []),
    [source, control.choices, query.data],
  )
  const looking = query.isFetching
  const options = useMemo(
    () => (source?.open === true ? withTyped(listed, search.trim(), looking) : listed),
    [listed, search, source, looking],
  )
  const value =
    raw === ""
      ? null
      : (listed.find((each) => each.value === raw) ?? { value: raw, label: bare(raw) })
  return (
    <div className="flex flex-col gap-1">
      <Combobox
        {...rest}
        options={options}
        value={value}
        onChange={(next) => onChange(next?.value ?? "")}
        onOpen={() => setWanted(true)}
        {...(source === undefined ? {} : { onSearch: setSearch })}
        busy={query.isFetching}
        note={query.error?.message ?? null}
        placeholder={listed.length > FEW || source !== undefined ? t`Type to search` : ""}
      />
      {query.hasNextPage && wanted && (
        <Button look="ghost" className="self-start" onClick={() => void query.fetchNextPage()}>
          {t`List more choices`}
        </Button>
      )}
      {query.error !== null && <ErrorLine>{query.error.message}</ErrorLine>}
    </div>
  )
}
