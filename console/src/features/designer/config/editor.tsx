import { Trans } from "@lingui/react/macro"
import { t } from "@lingui/core/macro"
import { ArrowDown, ArrowUp, Pencil, Plug, Plus, Trash2, X } from "lucide-react"
import { type ReactNode, useEffect, useMemo, useState } from "react"
import { ControlField } from "~/features/forms/fields"
import {
  type Control,
  findWrong,
  hiddenIn,
  type Raws,
  rawsOf,
  type Schema,
  type Wrong,
} from "~/features/forms/schema"
import type { FormState } from "~/features/forms/state"
import { AppTile } from "~/features/integrations/app"
import { Button, IconButton } from "~/ui/button"
import { cx } from "~/ui/class"
import { Combobox } from "~/ui/combobox"
import { Field, Input, Select } from "~/ui/field"
import { Pending } from "~/ui/notice"
import type { DraftEdit, Path } from "../draft/types"
import { isObject, type Json } from "../fields/model"
import { FieldsOf, useFields } from "../fields/scope"
import { labelled, type Shape, shapeOf, typedText } from "../fields/shape"
import { MemberName } from "../fields/structure"
import { useTyped } from "../fields/typed"
import { ValueField } from "../fields/value-field"
import type { Part } from "../frame/part"
import { memberEdits } from "../panel/edits"
import { useDocumentSchema, useDraftValue, usePalette } from "../panel/queries"
import { pairAdded, pairNames, PairProperties } from "./pairs"
import { type ConfigField, type ConfigPage, controlFor, nameFault, pagesOf } from "./schema"

type Held = { [name: string]: Json }

/** What customers fill in: pages and their fields, beside the form that they see. */
export function ConfigEditor({ draft, field, seen }: Part) {
  const document = useDraftValue(draft, [])
  const schema = useDocumentSchema()
  const meant = field?.[0] === "config" ? field : null
  const [focused, setFocused] = useState<Path | null>(null)
  if (meant !== null && meant !== focused) setFocused(meant)
  useEffect(() => {
    if (meant !== null) seen()
  }, [meant, seen])
  if (document.data === undefined) return <Pending of={document} />
  if (schema.data === undefined) return <Pending of={schema} />
  const held = isObject(document.data) ? document.data : {}
  return (
    <FieldsOf draft={draft} path={CONFIG} focused={focused}>
      <Whole
        key={JSON.stringify(focused)}
        held={held}
        schema={schema.data}
        opened={focused?.[2] === undefined ? null : String(focused[2])}
      />
    </FieldsOf>
  )
}

const CONFIG: Path = ["config"]

function useSend() {
  const { draft } = useFields()
  return async (ops: DraftEdit[], group?: string): Promise<string | null> => {
    if (ops.length === 0) return null
    const outcome = await draft.edit(ops, group === undefined ? {} : { group })
    return outcome.made ? null : outcome.error.message
  }
}

function Whole({ held, schema, opened }: { held: Held; schema: Schema; opened: string | null }) {
  const { draft } = useFields()
  const send = useSend()
  const pages = useMemo(() => pagesOf(held["config"]), [held])
  const [chosen, setField] = useState<string | null>(opened)
  const [pair, setPair] = useState<string | null>(null)
  const setChosen = (name: string | null) => {
    setPair(null)
    setField(name)
  }
  const found = pages.flatMap((page) =>
    page.fields.flatMap((each) => (each.name === chosen ? [{ page, field: each }] : [])),
  )[0]
  const addPage = (name: string) => {
    const config = held["config"]
    void send(
      isObject(config)
        ? [{ op: "set", path: ["config", name], value: {}, after: null }]
        : memberEdits([], held, "config", { [name]: {} }, [
            "name",
            "title",
            "description",
            "config",
          ]),
    )
  }
  const addField = (page: ConfigPage, name: string) => {
    const value: Held = {}
    void send([{ op: "set", path: ["config", page.name, name], value, after: null }]).then(
      (wrong) => wrong === null && setChosen(name),
    )
  }
  return (
    <div className="@container h-full min-h-0">
      <div className="grid h-full min-h-0 grid-cols-1 overflow-auto @md:grid-cols-[200px_minmax(0,1fr)] @md:divide-x @3xl:grid-cols-[220px_minmax(0,1fr)_minmax(0,1fr)]">
        <div className="flex min-h-0 flex-col gap-3 overflow-auto p-3">
          <About held={held} />
          {pages.map((page) => (
            <section key={page.name} aria-label={page.name} className="flex flex-col">
              <div className="flex items-center gap-1">
                <PageName
                  name={page.name}
                  taken={(name) => pages.some((each) => each.name === name)}
                />
                <Movers path={["config", page.name]} names={pages.map((each) => each.name)} />
                {!draft.readOnly && page.fields.length === 0 && (
                  <IconButton
                    name={t`Delete the page ${page.name}`}
                    onClick={() => void send([{ op: "delete", path: ["config", page.name] }])}
                  >
                    <Trash2 aria-hidden />
                  </IconButton>
                )}
              </div>
              <ul>
                {page.fields.map((each) => (
                  <li key={each.name}>
                    <Listed
                      name={typeof each.held["title"] === "string" ? each.held["title"] : each.name}
                      current={pair === null && each.name === chosen}
                      onChoose={() => setChosen(each.name)}
                      type={
                        typeof each.held["connection"] === "string"
                          ? t`connection`
                          : typedText(each.held["type"]) || t`text`
                      }
                    />
                  </li>
                ))}
              </ul>
              {!draft.readOnly && (
                <Adding
                  label={t`A field on ${page.name}`}
                  fault={(name) => faultWords(nameFault(name, pages))}
                  onAdd={(name) => addField(page, name)}
                />
              )}
            </section>
          ))}
          {!draft.readOnly && (
            <Adding
              label={t`A page`}
              fault={(name) =>
                pages.some((each) => each.name === name) ? t`This is there twice.` : null
              }
              onAdd={addPage}
            />
          )}
          <section aria-label={t`Pairs of records`} className="flex flex-col border-t pt-3">
            <h3 className="text-xs font-medium">{t`Pairs of records`}</h3>
            <ul>
              {pairNames(held).map((each) => (
                <li key={each}>
                  <Listed name={each} current={each === pair} onChoose={() => setPair(each)} />
                </li>
              ))}
            </ul>
            {!draft.readOnly && (
              <Adding
                label={t`A pair`}
                fault={(name) => faultWords(nameFault(name, []))}
                onAdd={(name) => {
                  void send(pairAdded(held, name)).then((wrong) => wrong === null && setPair(name))
                }}
              />
            )}
          </section>
        </div>
        <div className="relative min-h-0 overflow-auto p-4">
          {pair !== null && pairNames(held).includes(pair) ? (
            <PairProperties
              key={pair}
              held={held}
              name={pair}
              send={send}
              onGone={() => setPair(null)}
            />
          ) : found === undefined ? (
            <p className="text-muted-foreground">
              {pages.length === 0 ? (
                <Trans>Customers fill in nothing yet. Add a page, then a field to it.</Trans>
              ) : (
                <Trans>Select a field to edit it.</Trans>
              )}
            </p>
          ) : (
            <Properties
              key={found.field.name}
              schema={schema}
              path={["config", found.page.name, found.field.name]}
              field={found.field}
              pages={pages}
              onChosen={setChosen}
            />
          )}
        </div>
        <Preview pages={pages} chosen={chosen} />
      </div>
    </div>
  )
}

/** The name of a page, which is typed anew once its pencil is pressed. */
function PageName({ name, taken }: { name: string; taken: (name: string) => boolean }) {
  const { draft } = useFields()
  const send = useSend()
  const [renaming, setRenaming] = useState(false)
  if (renaming) {
    return (
      <span
        className="min-w-0 flex-1"
        ref={(box) => box?.querySelector("input")?.focus()}
        onBlur={() => setRenaming(false)}
      >
        <MemberName
          name={name}
          label={t`Name of the page`}
          readOnly={draft.readOnly}
          taken={(to) => to !== name && taken(to)}
          onRename={(to) => {
            setRenaming(false)
            void send([{ op: "rename_page", name, to }])
          }}
        />
      </span>
    )
  }
  return (
    <>
      <h3 className="min-w-0 flex-1 truncate text-xs font-medium" title={name}>
        {name}
      </h3>
      {!draft.readOnly && (
        <IconButton
          className="w-6!"
          name={t`Rename the page ${name}`}
          onClick={() => setRenaming(true)}
        >
          <Pencil aria-hidden />
        </IconButton>
      )}
    </>
  )
}

/** What is edited beside the list, once it is chosen. */
function Listed({
  name,
  current,
  onChoose,
  type,
}: {
  name: string
  current: boolean
  onChoose: () => void
  type?: string
}) {
  return (
    <button
      type="button"
      aria-current={current}
      onClick={onChoose}
      className={cx(
        "flex h-7 w-full min-w-0 items-center gap-2 rounded-md px-2 text-left hover:bg-secondary",
        current && "bg-accent hover:bg-accent",
      )}
    >
      <span className="min-w-0 flex-1 truncate">{name}</span>
      <span className="shrink-0 text-xs text-muted-foreground">{type}</span>
    </button>
  )
}

function faultWords(fault: ReturnType<typeof nameFault>): string | null {
  switch (fault) {
    case "form":
      return t`Letters, digits and _, and no digit first.`
    case "reserved":
      return t`Python uses this name; choose another.`
    case "taken":
      return t`Another field has this name.`
    case null:
      return null
  }
}

/** A name that is added with Enter. */
function Adding({
  label,
  fault,
  onAdd,
}: {
  label: string
  fault: (name: string) => string | null
  onAdd: (name: string) => void
}) {
  const [name, setName] = useState("")
  const wrong = name.trim() === "" ? null : fault(name.trim())
  return (
    <form
      className="flex flex-col gap-1 pt-1"
      onSubmit={(event) => {
        event.preventDefault()
        if (name.trim() === "" || wrong !== null) return
        onAdd(name.trim())
        setName("")
      }}
    >
      <span className="flex items-center gap-1">
        <Input
          aria-label={label}
          aria-invalid={wrong !== null || undefined}
          placeholder={label}
          value={name}
          autoComplete="off"
          onChange={(event) => setName(event.target.value)}
        />
        <IconButton
          type="submit"
          name={t`Add: ${label}`}
          disabled={name.trim() === "" || wrong !== null}
        >
          <Plus aria-hidden />
        </IconButton>
      </span>
      {wrong !== null && <span className="text-xs text-failed-text">{wrong}</span>}
    </form>
  )
}

function About({ held }: { held: Held }) {
  return (
    <section aria-label={t`About the integration`} className="flex flex-col gap-2 border-b pb-3">
      <AboutField held={held} name="title" label={t`Title`} />
      <AboutField held={held} name="description" label={t`Description`} />
    </section>
  )
}

function AboutField({ held, name, label }: { held: Held; name: string; label: string }) {
  const { draft } = useFields()
  const send = useSend()
  const stored = typeof held[name] === "string" ? held[name] : ""
  const { now, change, flush, error } = useTyped(stored, (text, group) =>
    send(
      memberEdits([], held, name, text.trim() === "" ? undefined : text, [
        "name",
        "title",
        "description",
      ]),
      group,
    ),
  )
  return (
    <Field label={label} error={error}>
      {(said) => (
        <Input
          {...said}
          value={now}
          readOnly={draft.readOnly}
          onChange={(event) => change(event.target.value)}
          onBlur={flush}
        />
      )}
    </Field>
  )
}

const NEEDED: Record<string, (held: Held) => boolean> = {
  minimum: ({ type }) => ["integer", "decimal", "text", undefined].includes(type as string),
  maximum: ({ type }) => ["integer", "decimal", "text", undefined].includes(type as string),
  choices: ({ type, source }) => type !== "mapping" && source === undefined,
  source: ({ type, choices }) => type !== "mapping" && choices === undefined,
  open: ({ source, of, to }) => [source, of, to].some((each) => each !== undefined),
  depends: ({ source, of, to }) => [source, of, to].some((each) => each !== undefined),
  multiple: ({ type }) => type !== "mapping",
  of: ({ type }) => type === "mapping",
  to: ({ type }) => type === "mapping",
}

/** Put a page, or a field, before or behind the one beside it. */
function Movers({ path, names }: { path: Path; names: readonly string[] }) {
  const { draft } = useFields()
  const send = useSend()
  const name = String(path.at(-1))
  const at = names.indexOf(name)
  if (draft.readOnly || names.length < 2) return null
  const put = (before: string | null) => void send([{ op: "reorder", path, before }])
  return (
    <span className="flex">
      <IconButton
        className="w-6!"
        name={t`Move ${name} up`}
        disabled={at <= 0}
        onClick={() => put(names[at - 1] ?? null)}
      >
        <ArrowUp aria-hidden />
      </IconButton>
      <IconButton
        className="w-6!"
        name={t`Move ${name} down`}
        disabled={at === names.length - 1}
        onClick={() => put(names[at + 2] ?? null)}
      >
        <ArrowDown aria-hidden />
      </IconButton>
    </span>
  )
}

/** All that a field says of itself. */
function Properties({
  schema,
  path,
  field,
  pages,
  onChosen,
}: {
  schema: Schema
  path: Path
  field: ConfigField
  pages: readonly ConfigPage[]
  onChosen: (name: string | null) => void
}) {
  const { draft } = useFields()
  const send = useSend()
  const { held } = field
  const isConnection = held["connection"] !== undefined
  const definition = schema.$defs?.[isConnection ? "ConnectionField" : "PlainField"] ?? {}
  const members = Object.keys(definition.properties ?? {})
  const names = pages.find((each) => each.name === path[1])?.fields.map((each) => each.name) ?? []
  const shown = members.filter(
    (each) => Object.hasOwn(held, each) || NEEDED[each]?.(held) !== false,
  )
  return (
    <div className="flex flex-col gap-4">
      <div className="flex items-center gap-2">
        <div className="min-w-0 flex-1 font-mono">
          <MemberName
            name={field.name}
            label={t`Name of the field`}
            readOnly={draft.readOnly}
            taken={(name) => name !== field.name && nameFault(name, pages) !== null}
            onRename={(to) => {
              void send([{ op: "rename_field", name: field.name, to }]).then(
                (wrong) => wrong === null && onChosen(to),
              )
            }}
          />
        </div>
        <Movers path={path} names={names} />
        {!draft.readOnly && (
          <Button
            icon={<Trash2 aria-hidden />}
            onClick={() => {
              void send([{ op: "delete", path }]).then((wrong) => wrong === null && onChosen(null))
            }}
          >
            <Trans>Delete</Trans>
          </Button>
        )}
      </div>
      <KindOfField path={path} held={held} />
      {shown
        .filter((each) => each !== "connection" && each !== "when")
        .map((name) => (
          <Property
            key={name}
            path={path}
            held={held}
            name={name}
            order={members}
            {...labelled(name, definition.properties?.[name], schema.$defs)}
            shape={shapeFor(
              name,
              held,
              shapeOf(definition.properties?.[name], false, schema.$defs),
            )}
          />
        ))}
      {!isConnection && (
        <ShownWhen
          path={path}
          field={field}
          order={members}
          others={pages
            .flatMap((each) => each.fields)
            .filter((each) => each.name !== field.name && each.held["connection"] === undefined)}
          hint={definition.properties?.["when"]?.description}
        />
      )}
    </div>
  )
}

/** The other fields that show a field, each with the value, or the values, that it has to have. */
function ShownWhen({
  path,
  field,
  order,
  others,
  hint,
}: {
  path: Path
  field: ConfigField
  order: readonly string[]
  others: readonly ConfigField[]
  hint: string | undefined
}) {
  const { draft } = useFields()
  const send = useSend()
  const { now, change, flush, error } = useTyped(field.held["when"], (value, group) =>
    send(memberEdits(path, field.held, "when", value, order), group),
  )
  const when = isObject(now) ? now : {}
  const set = (name: string, value: Json | undefined) => {
    const rest = Object.entries(when).filter(([each]) => each !== name || value !== undefined)
    const entries = value === undefined ? rest : [...rest, [name, value] as const]
    const next = Object.fromEntries<Json>(entries)
    change(Object.keys(next).length === 0 ? undefined : next)
  }
  const free = others.filter((each) => !Object.hasOwn(when, each.name))
  return (
    <div role="group" aria-label={t`Shown when`} className="flex flex-col gap-2">
      {Object.entries(when).map(([name, value]) => {
        const held = others.find((each) => each.name === name)?.held ?? {}
        const one = shapeFor("default", { ...held, multiple: false }, TEXT)
        const shape = Array.isArray(value) ? { ...TEXT, kind: "list" as const, item: one } : one
        return (
          <div key={name} className="flex items-start gap-1">
            <div className="min-w-0 flex-1">
              <ValueField
                label={t`Where ${name} is`}
                shape={shape}
                value={value}
                path={[...path, "when", name]}
                onChange={(next) => set(name, next ?? "")}
                onLeave={flush}
                readOnly={draft.readOnly}
              />
            </div>
            {!draft.readOnly && (
              <IconButton
                name={t`Do not ask for ${name}`}
                onClick={() => {
                  set(name, undefined)
                  queueMicrotask(flush)
                }}
              >
                <X aria-hidden />
              </IconButton>
            )}
          </div>
        )
      })}
      {!draft.readOnly && free.length > 0 && (
        <Field label={t`Shown only when`} hint={hint} error={error}>
          {(said) => (
            <Select
              {...said}
              value=""
              onChange={(event) => {
                const held = free.find((each) => each.name === event.target.value)?.held ?? {}
                const { choices } = shapeFor("default", { ...held, multiple: false }, TEXT)
                const first = held["type"] === "boolean" ? true : choices?.[0]?.value
                set(event.target.value, first ?? "")
                queueMicrotask(flush)
              }}
            >
              <option value="">{t`Choose a field`}</option>
              {free.map((each) => (
                <option key={each.name}>{each.name}</option>
              ))}
            </Select>
          )}
        </Field>
      )}
    </div>
  )
}

const TEXT: Shape = { kind: "text", templates: false }

function shapeFor(name: string, held: Held, shape: Shape): Shape {
  const choices = held["choices"]
  if (name === "choices") {
    const kind = Array.isArray(choices) ? "list" : "map"
    return { kind, templates: false, item: TEXT }
  }
  if (name === "to" && !isObject(held["to"]) && typeof held["to"] !== "string") {
    return { kind: "list", templates: false, item: TEXT }
  }
  if (name !== "default") return { ...shape, templates: false }
  let made: Shape
  if (Array.isArray(choices) || isObject(choices)) {
    const values = Array.isArray(choices) ? choices : Object.keys(choices)
    const labels = isObject(choices) ? choices : {}
    made = {
      kind: "choice",
      templates: false,
      choices: values.map((each) => ({
        value: each,
        label: typedText(labels[typedText(each)] ?? each),
      })),
    }
  } else {
    const kinds: Record<string, Shape["kind"]> = {
      integer: "number",
      decimal: "number",
      boolean: "boolean",
      date: "date",
      mapping: "map",
    }
    made = { kind: kinds[typedText(held["type"])] ?? "text", templates: false, item: TEXT }
  }
  return held["multiple"] === true ? { kind: "list", templates: false, item: made } : made
}

function Property({
  path,
  held,
  name,
  order,
  label,
  hint,
  shape,
}: {
  path: Path
  held: Held
  name: string
  order: readonly string[]
  label: string
  hint: string
  shape: Shape
}) {
  const { draft } = useFields()
  const send = useSend()
  const { now, change, flush, error } = useTyped(held[name], (value, group) =>
    send(memberEdits(path, held, name, value, order), group),
  )
  const listed =
    ["source", "of", "to"].includes(name) && (now === undefined || typeof now === "string")
  if (listed && shape.kind !== "list") {
    return (
      <ActionChoice
        label={label}
        hint={hint}
        value={typeof now === "string" ? now : ""}
        onChange={(value) => {
          change(value)
          queueMicrotask(flush)
        }}
        error={error}
      />
    )
  }
  return (
    <ValueField
      label={label}
      hint={hint}
      shape={shape}
      value={now}
      path={[...path, name]}
      onChange={change}
      onLeave={flush}
      readOnly={draft.readOnly}
      error={error}
    />
  )
}

function ActionChoice({
  label,
  hint,
  value,
  onChange,
  error,
}: {
  label: string
  hint: string
  value: string
  onChange: (value: string | undefined) => void
  error: string | null
}) {
  const { draft } = useFields()
  const palette = usePalette(draft)
  const options = (palette.data?.calls ?? [])
    .filter((each) => each.kind === "action")
    .map((each) => ({ value: each.name, label: each.name, hint: each.title }))
  return (
    <Field label={label} hint={hint} error={error}>
      {(said) =>
        draft.readOnly ? (
          <Input {...said} readOnly value={value} />
        ) : (
          <Combobox
            id={said.id}
            options={options}
            value={value === "" ? null : { value, label: value }}
            onChange={(next) => onChange(next?.value)}
            placeholder={t`Type to search`}
          />
        )
      }
    </Field>
  )
}

/** What customers fill in, or a connection that they make. */
function KindOfField({ path, held }: { path: Path; held: Held }) {
  const { draft } = useFields()
  const send = useSend()
  const palette = usePalette(draft)
  const now = typeof held["connection"] === "string" ? held["connection"] : ""
  const components = [
    ...new Set([...(palette.data?.calls ?? []).map((each) => each.component), now].filter(Boolean)),
  ].toSorted()
  return (
    <Field
      label={t`What it is`}
      hint={t`A value, or a connection that the customer makes to an app.`}
    >
      {(said) => (
        <Select
          {...said}
          disabled={draft.readOnly}
          value={now}
          onChange={(event) => {
            const chosen = event.target.value
            const kept = Object.fromEntries(
              ["title", "description"].flatMap((each) =>
                held[each] === undefined ? [] : [[each, held[each]] as const],
              ),
            )
            const value: Json = chosen === "" ? kept : { connection: chosen, ...kept }
            void send([{ op: "set", path, value, after: null }])
          }}
        >
          <option value="">{t`A value`}</option>
          {components.map((each) => (
            <option key={each} value={each}>
              {t`A connection: ${each}`}
            </option>
          ))}
        </Select>
      )}
    </Field>
  )
}

/** The form as customers see it, drawn by what draws an activation. */
function Preview({ pages, chosen }: { pages: ConfigPage[]; chosen: string | null }) {
  const [at, setAt] = useState(0)
  const [followed, setFollowed] = useState(chosen)
  // A field that was just added is on its page once that is known.
  const on = pages.findIndex((page) => page.fields.some((each) => each.name === chosen))
  if (chosen !== followed && on >= 0) {
    setFollowed(chosen)
    setAt(on)
  }
  const page = pages[Math.min(at, pages.length - 1)]
  return (
    <section
      aria-label={t`Preview`}
      className="hidden min-h-0 flex-col gap-3 overflow-auto bg-muted p-4 @3xl:flex"
    >
      <p className="text-xs text-muted-foreground">
        <Trans>What a customer sees. Nothing that is typed here is stored.</Trans>
      </p>
      <ol className="flex flex-wrap gap-1" aria-label={t`Pages`}>
        {pages.map((each, index) => (
          <li key={each.name}>
            <Button
              look={each === page ? "outline" : "ghost"}
              aria-current={each === page}
              onClick={() => setAt(index)}
            >
              {index + 1}. {each.name}
            </Button>
          </li>
        ))}
      </ol>
      {page !== undefined && <PreviewPage key={JSON.stringify(pages)} pages={pages} page={page} />}
    </section>
  )
}

/** What is typed in the preview, for as long as the config is as it is. */
function usePreview(controls: readonly Control[]): FormState {
  const [typed, setTyped] = useState<Raws>({})
  const [left, setLeft] = useState<ReadonlySet<string>>(new Set())
  return useMemo(() => {
    const raws = { ...rawsOf(controls), ...typed }
    const wrong = new Map<string, Wrong>()
    const hidden = hiddenIn(controls, raws)
    for (const each of controls) if (!hidden.has(each.name)) findWrong(each, raws[each.name], wrong)
    const nothing = () => undefined
    return {
      raws,
      hidden,
      set: (name, raw) => setTyped((now) => ({ ...now, [name]: raw })),
      wrong,
      said: new Map(),
      shown: (path) => left.has(path),
      leave: (path) => setLeft((now) => new Set(now).add(path)),
      check: () => wrong.size === 0,
      refuse: nothing,
      changed: false,
      mark: null,
      drop: nothing,
      reset: nothing,
    }
  }, [controls, typed, left])
}

function PreviewPage({ pages, page }: { pages: ConfigPage[]; page: ConfigPage }): ReactNode {
  const controls = useMemo(
    () => pages.flatMap((each) => each.fields.map(controlFor)).filter((each) => each !== null),
    [pages],
  )
  const form = usePreview(controls)
  const byName = new Map(controls.map((each) => [each.name, each]))
  return (
    <div className="flex max-w-xl flex-col gap-4 rounded-md border bg-background p-4">
      {page.fields.length === 0 && (
        <p className="text-muted-foreground">
          <Trans>This page has no fields yet.</Trans>
        </p>
      )}
      {page.fields.map((each) => {
        const control = byName.get(each.name)
        if (control !== undefined) {
          return (
            <ControlField
              key={each.name}
              control={control}
              path={each.name}
              raw={form.raws[each.name]}
              onChange={(raw) => form.set(each.name, raw)}
              form={form}
            />
          )
        }
        const component = typedText(each.held["connection"])
        return (
          <div key={each.name} className="flex items-center gap-2 rounded-md border p-2">
            <AppTile component={component} />
            <span className="min-w-0 flex-1 truncate">
              {typeof each.held["title"] === "string" ? each.held["title"] : each.name}
            </span>
            <Button disabled icon={<Plug aria-hidden />}>
              <Trans>Connect</Trans>
            </Button>
          </div>
        )
      })}
    </div>
  )
}
