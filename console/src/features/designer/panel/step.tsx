import { Trans } from "@lingui/react/macro"
import { t } from "@lingui/core/macro"
import { type ReactNode, useEffect, useMemo, useRef, useState } from "react"
import type { Schema } from "~/features/forms/schema"
import { words } from "~/features/forms/schema"
import { AppTile } from "~/features/integrations/app"
import { Combobox, type Option } from "~/ui/combobox"
import { Field, Input, Select } from "~/ui/field"
import { Loading, Pending } from "~/ui/notice"
import { Tabs } from "~/ui/tabs"
import type { DraftEdit, FlowOutline, OutlineNode, Path } from "../draft/types"
import { CodeField } from "../fields/code"
import { KindIcon } from "../frame/icon"
import { kindTitle } from "../frame/words"
import { isObject, type Json } from "../fields/model"
import { FieldsOf, useFields } from "../fields/scope"
import { shapeOf, type Shape } from "../fields/shape"
import { useTyped } from "../fields/typed"
import { ValueField } from "../fields/value-field"
import type { Part } from "../frame/part"
import { StepResult } from "../run/result"
import { samePath, type Spot, spotAt } from "../tree/walk"
import { inputEdits, memberEdits } from "./edits"
import { fieldsOf, givesResult, type KindField, orderOf } from "./kinds"
import { useDocumentSchema, useDraftValue, useForm, usePalette } from "./queries"

/** What the fields of a panel are about: a step, a route, or a flow with its trigger. */
type Subject = {
  kind: string
  path: Path
  flow: FlowOutline
  title: string
  id: string | null
  held: Readonly<Record<string, Json>>
}

/** The fields of the step that is selected; of none, those of the flow and its trigger. */
export function StepPanel({ draft, flow, spot, field, seen, tab, onTab, opened }: Part) {
  const schema = useDocumentSchema()
  const found = draft.flows.find((each) => each.name === flow) ?? null
  const subject = useMemo((): Subject | null => {
    if (spot !== null) return ofNode(spot.node, spot.flow)
    return found === null ? null : ofFlow(found)
  }, [spot, found])
  useEffect(() => {
    if (field !== null && field[0] !== "config") seen()
  }, [field, seen])
  // It is focused as it is drawn; then it is forgotten.
  const [focused, setFocused] = useState(field)
  if (field !== null && field !== focused) setFocused(field)
  // A flow that gets another name is still the one that was opened.
  const key = spot?.node.key ?? (spot === null ? `flow ${opened}` : JSON.stringify(subject?.path))
  const [shown, setShown] = useState(key)
  if (key !== shown) {
    setShown(key)
    const holder = focused === null ? null : spotAt(draft.flows, focused)
    if (holder?.node.key !== spot?.node.key) setFocused(null)
  }
  if (subject === null) {
    return (
      <p className="p-4 text-muted-foreground">
        <Trans>Select a step, or a flow, to see its fields.</Trans>
      </p>
    )
  }
  if (schema.data === undefined) return <Pending of={schema} />
  return (
    <FieldsOf draft={draft} path={subject.path} focused={focused}>
      <Subject
        key={key}
        subject={subject}
        spot={spot}
        schema={schema.data}
        tab={tab}
        onTab={onTab}
      />
    </FieldsOf>
  )
}

function ofNode(node: OutlineNode, flow: FlowOutline): Subject {
  return {
    kind: node.kind,
    path: node.path,
    flow,
    title: node.title ?? "",
    id: node.id ?? null,
    held: node.fields as Record<string, Json>,
  }
}

function ofFlow(flow: FlowOutline): Subject {
  const held = { ...(flow.fields as Record<string, Json>), trigger: flow.trigger }
  const kind = flow.preprocess ? "preprocess" : "flow"
  return { kind, path: flow.path, flow, title: flow.title, id: null, held }
}

function Subject({
  subject,
  spot,
  schema,
  tab,
  onTab,
}: {
  subject: Subject
  spot: Spot | null
  schema: Schema
  tab: string | undefined
  onTab: (tab: string) => void
}) {
  const { draft, focused } = useFields()
  const fields = useMemo(() => fieldsOf(schema, subject.kind), [schema, subject.kind])
  const rare = fields.filter((each) => each.rare)
  const wanted = focused !== null && rare.some((each) => focused[subject.path.length] === each.name)
  useEffect(() => {
    if (focused !== null) onTab(wanted ? "options" : "setup")
    // eslint-disable-next-line react-hooks/exhaustive-deps -- once for each field that is to be focused
  }, [focused])
  const isFlow = subject.kind === "flow" || subject.kind === "preprocess"
  const called = calledBy(subject)
  const head = isFlow ? t`Trigger` : kindTitle(subject.kind)
  const given = rare.filter((each) => Object.hasOwn(subject.held, each.name)).length
  const setup = fields.filter((each) => !each.rare)
  return (
    <section aria-label={t`Fields of the step`} className="min-w-0">
      <header className="flex items-center gap-2 px-4 pt-3 pb-1">
        {called === null ? <KindIcon kind={subject.kind} /> : <AppTile component={called} />}
        <div className="min-w-0">
          <h2 className="truncate text-sm font-medium">{subject.title || head}</h2>
          <p className="truncate text-xs text-muted-foreground">{called ?? head}</p>
        </div>
      </header>
      {draft.readOnly && (
        <p className="px-4 pb-1 text-xs text-muted-foreground">
          <Trans>You may look, and not edit.</Trans>
        </p>
      )}
      <Tabs
        label={t`Parts of the step`}
        selected={tab}
        onSelect={onTab}
        tabs={[
          {
            key: "setup",
            label: t`Setup`,
            content: () => <Setup subject={subject} schema={schema} fields={setup} />,
          },
          ...(spot === null
            ? []
            : [{ key: "result", label: t`Result`, content: () => <StepResult spot={spot} /> }]),
          {
            key: "options",
            label: t`Options`,
            count: given === 0 ? undefined : given,
            content: () => <FieldStack subject={subject} schema={schema} fields={rare} />,
          },
        ]}
      />
    </section>
  )
}

/** What a step holds, with its name, title and note where they are written: what is new goes behind them. */
function useHeld({ path, held }: Subject): Readonly<Record<string, Json>> {
  const { draft } = useFields()
  const written = useDraftValue(draft, path).data
  if (!isObject(written)) return held
  const own = ["id", "title", "note"].flatMap((name) =>
    Object.hasOwn(written, name) ? [[name, written[name] as Json] as const] : [],
  )
  return { ...Object.fromEntries(own), ...held }
}

function calledBy(subject: Subject): string | null {
  const name = subject.held["action"] ?? subject.held["trigger"]
  return typeof name === "string" && name !== "" ? name : null
}

function Setup({
  subject,
  schema,
  fields,
}: {
  subject: Subject
  schema: Schema
  fields: KindField[]
}) {
  const isFlow = subject.kind === "flow" || subject.kind === "preprocess"
  const hasTitle = subject.kind !== "route" && subject.kind !== "unknown"
  return (
    <div className="flex flex-col gap-4">
      {subject.kind === "unknown" && (
        <p className="text-muted-foreground">
          <Trans>This step has no kind yet. Give it one in the YAML, or delete it.</Trans>
        </p>
      )}
      {isFlow && <FlowName subject={subject} />}
      {hasTitle && <TitleField subject={subject} schema={schema} />}
      {givesResult(schema, subject.kind) && <ResultName subject={subject} schema={schema} />}
      <FieldStack subject={subject} schema={schema} fields={fields} />
    </div>
  )
}

/** Send edits; return why they were not made. */
function useSend() {
  const { draft } = useFields()
  return async (ops: DraftEdit[], group: string): Promise<string | null> => {
    if (ops.length === 0) return null
    const outcome = await draft.edit(ops, { group })
    return outcome.made ? null : outcome.error.message
  }
}

/** A step's title has a limit; a flow's has none. */
const MOST_OF_A_TITLE = 200

function TitleField({ subject, schema }: { subject: Subject; schema: Schema }) {
  const { draft, focused } = useFields()
  const send = useSend()
  const input = useRef<HTMLInputElement>(null)
  // Enter leads back to where one came from: by F2 of the outline, say.
  const before = useRef<Element | null>(null)
  useEffect(() => {
    if (focused === null || !samePath(focused, [...subject.path, "title"])) return
    input.current?.focus()
    input.current?.select()
    // eslint-disable-next-line react-hooks/exhaustive-deps -- once for each time that it is asked for
  }, [focused])
  const written = useDraftValue(draft, subject.path).data
  const isFlow = subject.kind === "flow" || subject.kind === "preprocess"
  const own = isObject(written) && typeof written["title"] === "string"
  const order = orderOf(schema, subject.kind)
  const { now, change, flush, error } = useTyped(subject.title, (text, group) => {
    const held: Record<string, Json> = { ...subject.held }
    if (subject.id !== null) held["id"] = subject.id
    if (own) held["title"] = subject.title
    const value = text.trim() === "" ? undefined : text
    const { length } = Array.from(text)
    if (!isFlow && length > MOST_OF_A_TITLE) {
      return Promise.resolve(
        t`At most ${MOST_OF_A_TITLE} characters; this has ${length}. It is not saved yet.`,
      )
    }
    return send(memberEdits(subject.path, held, "title", value, order), group)
  })
  return (
    <Field label={t`Title`} error={error}>
      {(said) => (
        <Input
          {...said}
          ref={input}
          value={now}
          readOnly={draft.readOnly}
          onChange={(event) => change(event.target.value)}
          onFocus={(event) => {
            before.current = event.relatedTarget
          }}
          onBlur={flush}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || !(before.current instanceof HTMLElement)) return
            event.preventDefault() // else it would press what has the focus then
            before.current.focus()
          }}
        />
      )}
    </Field>
  )
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/

/** A name that others read is another one once it is left: all that names it follows. */
function NameInput({
  label,
  hint,
  name,
  pattern,
  rename,
  optional = false,
}: {
  label: string
  hint: string
  name: string
  pattern: RegExp
  rename: (to: string) => DraftEdit[]
  optional?: boolean
}) {
  const { draft } = useFields()
  const [typed, setTyped] = useState<string | null>(null)
  const sent = useRef<string | null>(null)
  const [refused, setRefused] = useState<string | null>(null)
  const text = typed ?? name
  const fits = (optional && text.trim() === "") || pattern.test(text.trim())
  const leave = async () => {
    const to = text.trim()
    // It is left once more, as Enter was pressed, while the first is under way.
    if (typed === null || !fits || sent.current === to) return
    if (to === name) return setTyped(null)
    sent.current = to
    const outcome = await draft.edit(rename(to))
    sent.current = null
    setRefused(outcome.made ? null : outcome.error.message)
    if (outcome.made) setTyped(null)
  }
  const wrong = fits ? refused : t`Letters, digits and _, and no digit first.`
  return (
    <Field label={label} hint={hint} error={wrong}>
      {(said) => (
        <Input
          {...said}
          value={text}
          readOnly={draft.readOnly}
          className="font-mono"
          spellCheck={false}
          autoComplete="off"
          onChange={(event) => {
            setTyped(event.target.value)
            setRefused(null)
          }}
          onBlur={() => void leave()}
          onKeyDown={(event) => {
            if (event.key === "Enter") void leave()
            if (event.key === "Escape" && typed !== null) {
              event.stopPropagation()
              setTyped(null)
            }
          }}
        />
      )}
    </Field>
  )
}

function ResultName({ subject, schema }: { subject: Subject; schema: Schema }) {
  const { id, path, flow, held, kind } = subject
  return (
    <NameInput
      label={t`Name of the result`}
      hint={t`Later steps find what this one gives under it.`}
      name={id ?? ""}
      optional
      pattern={NAME}
      rename={(to) => {
        if (to === "") return [{ op: "delete", path: [...path, "id"] }]
        if (id !== null) return [{ op: "rename", flow: flow.name, name: id, to }]
        return memberEdits(path, held, "id", to, [kind, "id", ...orderOf(schema, kind)])
      }}
    />
  )
}

function FlowName({ subject }: { subject: Subject }) {
  const { name } = subject.flow
  return (
    <NameInput
      label={t`Name`}
      hint={t`What the YAML, calls and URLs call it. All that names it follows.`}
      name={name}
      pattern={NAME}
      rename={(to) => [{ op: "rename_flow", name, to }]}
    />
  )
}

function FieldStack({
  subject,
  schema,
  fields,
}: {
  subject: Subject
  schema: Schema
  fields: KindField[]
}) {
  if (fields.length === 0) {
    return (
      <p className="text-muted-foreground">
        <Trans>There is nothing more to set.</Trans>
      </p>
    )
  }
  return (
    <div className="flex flex-col gap-4">
      {fields.map((each) => (
        <MemberField key={each.name} subject={subject} schema={schema} field={each} />
      ))}
    </div>
  )
}

/** A field of the step itself; some have choices that the document, or its components, give. */
function MemberField({
  subject,
  schema,
  field,
}: {
  subject: Subject
  schema: Schema
  field: KindField
}) {
  const { draft, focused } = useFields()
  const send = useSend()
  const { kind, path, held, flow } = subject
  const { name } = field
  const at = useMemo((): Path => [...path, name], [path, name])
  const order = orderOf(schema, kind)
  const whole = useHeld(subject)
  const { now, change, flush, error } = useTyped(held[name], (value, group) =>
    send(memberEdits(path, whole, name, value, order), group),
  )
  if (name === "with" && (kind === "action" || kind === "flow" || kind === "preprocess")) {
    return <Inputs subject={subject} order={order} />
  }
  if (name === "action" || name === "trigger") {
    return <CallChoice kind={name} value={now} onChange={change} onLeave={flush} error={error} />
  }
  if (kind === "for" && name === "for") {
    const item = typeof held["for"] === "string" ? held["for"] : ""
    return (
      <NameInput
        label={t`Name of the item`}
        hint={t`The steps of the loop find each item under it.`}
        name={item}
        pattern={NAME}
        rename={(to) => [{ op: "rename", flow: flow.name, name: item, to }]}
      />
    )
  }
  const listed = <Listed name={name} kind={kind} value={now} onChange={change} onLeave={flush} />
  if (hasList(kind, name)) {
    return <NamedField field={field}>{listed}</NamedField>
  }
  const replies = isObject(now) && Object.hasOwn(now, "reply")
  if (kind === "stop" && name === "stop" && !replies) {
    return (
      <StopField
        hint={field.hint}
        value={now}
        path={[...path, name]}
        onChange={change}
        onLeave={flush}
        error={error}
      />
    )
  }
  if (kind === "code" && name === "code") {
    return (
      <CodeField
        label={t`Code (Python)`}
        hint={field.hint}
        text={typeof now === "string" ? now : ""}
        path={[...path, name]}
        onChange={change}
        onLeave={flush}
        readOnly={draft.readOnly}
        error={error}
      />
    )
  }
  const renames =
    kind === "set" && name === "set" && !flow.preprocess
      ? (one: string, to: string) =>
          void draft.edit([{ op: "rename", flow: flow.name, name: one, to }])
      : undefined
  const shown = (
    <ValueField
      label={field.label}
      hint={field.hint}
      required={field.required}
      shape={templated(field, kind)}
      condition={field.condition}
      value={now}
      path={at}
      onChange={change}
      onLeave={flush}
      readOnly={draft.readOnly}
      error={error}
      onRename={renames}
    />
  )
  if (kind !== "for" || !SEES_ITEM.has(name)) return shown
  return (
    <FieldsOf draft={draft} path={at} focused={focused}>
      {shown}
    </FieldsOf>
  )
}

/** The fields of a loop that are evaluated for each item. */
const SEES_ITEM = new Set(["where", "key", "collect"])

/** How a flow ends: done, with an answer or without, or ignored for a reason. */
function StopField({
  hint,
  value,
  path,
  onChange,
  onLeave,
  error,
}: {
  hint: string
  value: Json | undefined
  path: Path
  onChange: (value: Json) => void
  onLeave: () => void
  error: string | null
}) {
  const { draft } = useFields()
  const held = isObject(value) ? value : {}
  const how = Object.hasOwn(held, "ignore")
    ? "ignore"
    : Object.hasOwn(held, "answer")
      ? "answer"
      : "done"
  const answers = how === "answer"
  return (
    <>
      <Field label={t`How it ends`} hint={hint} error={error}>
        {(said) => (
          <Select
            {...said}
            disabled={draft.readOnly}
            value={how}
            onBlur={onLeave}
            onChange={(event) => {
              const to = event.target.value
              onChange(to === "done" ? true : { [to]: held[how] ?? "" })
            }}
          >
            <option value="done">{t`Done`}</option>
            <option value="answer">{t`Done, with an answer`}</option>
            <option value="ignore">{t`Ignored, for a reason`}</option>
          </Select>
        )}
      </Field>
      {how !== "done" && (
        <ValueField
          key={how}
          label={answers ? t`Answer` : t`Reason`}
          shape={{ kind: answers ? "any" : "text", templates: true }}
          value={held[how]}
          path={[...path, how]}
          onChange={(next) => onChange({ ...held, [how]: next ?? "" })}
          onLeave={onLeave}
          readOnly={draft.readOnly}
        />
      )}
    </>
  )
}

/** The members of what `set`, `pair` and the like hold may be expressions, which the schema leaves open. */
function templated({ shape, name }: KindField, kind: string): Shape {
  const map = shape.kind === "map" && (name === "with" || name === "set" || kind === "route")
  return map ? { ...shape, item: { kind: "any", templates: true } } : shape
}

function NamedField({ field, children }: { field: KindField; children: ReactNode }) {
  return (
    <div className="flex flex-col gap-1">
      <span className="text-xs font-medium">
        {field.label}
        {field.required && (
          <span className="ml-1 text-failed-text" title={t`Required`}>
            *
          </span>
        )}
      </span>
      {children}
      <p className="text-xs text-muted-foreground">{field.hint}</p>
    </div>
  )
}

const hasList = (kind: string, name: string) =>
  (kind === "call" && name === "call") ||
  (kind === "route" && name === "flow") ||
  (kind === "action" && name === "connection") ||
  name === "pairs" ||
  name === "paired" ||
  name === "pair" ||
  name === "unpair"

/** A choice among what the document has: its flows, connections, pairs. */
function Listed({
  name,
  kind,
  value,
  onChange,
  onLeave,
}: {
  name: string
  kind: string
  value: Json | undefined
  onChange: (value: Json | undefined) => void
  onLeave: () => void
}) {
  const { draft } = useFields()
  const document = useDraftValue(draft, []).data
  const held = isObject(document) ? document : {}
  let names: string[]
  if (name === "connection") names = connectionsOf(held["config"])
  else if (name === "call" || (name === "flow" && kind === "route")) {
    names = draft.flows.filter((each) => !each.preprocess).map((each) => each.name)
  } else names = Object.keys(isObject(held["pairs"]) ? held["pairs"] : {})
  const now = typeof value === "string" ? value : ""
  const all = now === "" || names.includes(now) ? names : [now, ...names]
  return (
    <Select
      aria-label={words(name)}
      disabled={draft.readOnly}
      value={now}
      onBlur={onLeave}
      onChange={(event) => onChange(event.target.value === "" ? undefined : event.target.value)}
    >
      <option value="">{t`Not given`}</option>
      {all.map((each) => (
        <option key={each} value={each}>
          {each}
        </option>
      ))}
    </Select>
  )
}

/** Return the names of the config's connections, and with a component, of its own alone. */
export function connectionsOf(config: Json | undefined, component?: string): string[] {
  if (!isObject(config)) return []
  return Object.values(config).flatMap((page) =>
    Object.entries(isObject(page) ? page : {}).flatMap(([name, field]) =>
      isObject(field) &&
      typeof field["connection"] === "string" &&
      (component === undefined || field["connection"] === component)
        ? [name]
        : [],
    ),
  )
}

function CallChoice({
  kind,
  value,
  onChange,
  onLeave,
  error,
}: {
  kind: "action" | "trigger"
  value: Json | undefined
  onChange: (value: Json | undefined) => void
  onLeave: () => void
  error: string | null
}) {
  const { draft } = useFields()
  const palette = usePalette(draft)
  const options = useMemo(
    (): Option[] =>
      (palette.data?.calls ?? [])
        .filter((each) => each.kind === kind)
        .map((each) => ({ value: each.name, label: each.name, hint: each.title })),
    [palette.data, kind],
  )
  const now = typeof value === "string" ? value : ""
  return (
    <Field label={kind === "action" ? t`Action` : t`Trigger`} error={error}>
      {(said) =>
        draft.readOnly ? (
          <Input {...said} readOnly value={now} />
        ) : (
          <Combobox
            id={said.id}
            describedBy={said["aria-describedby"]}
            invalid={error !== null}
            options={options}
            value={now === "" ? null : { value: now, label: now }}
            placeholder={t`Type to search`}
            busy={palette.isFetching}
            onChange={(next) => {
              if (next === null) return
              onChange(next.value)
              queueMicrotask(onLeave)
            }}
          />
        )
      }
    </Field>
  )
}

const FEW = 8

function isMore(schema: Record<string, unknown> | null): boolean {
  return schema?.["x-more"] === true
}

/** The inputs of an action, or of a trigger, by its own schema. */
function Inputs({ subject, order }: { subject: Subject; order: readonly string[] }) {
  const { draft } = useFields()
  const called = calledBy(subject) ?? ""
  const form = useForm(draft, subject.path, called)
  const given = isObject(subject.held["with"]) ? subject.held["with"] : {}
  const fields = form.data?.name === called ? form.data.fields : []
  const names = fields.map((each) => each.name)
  const others = Object.keys(given).filter((each) => !names.includes(each))
  // What was filled in as the step was opened stands above; nothing moves as it is filled in.
  const [first] = useState(() => new Set(Object.keys(given)))
  // An action that is declared from a specification says itself what comes under "More".
  const chosen = fields.some((each) => isMore(each.schema))
  const shown = fields.filter(
    (each) =>
      each.required ||
      first.has(each.name) ||
      (chosen ? !isMore(each.schema) : fields.length <= FEW),
  )
  const more = fields.filter((each) => !shown.includes(each))
  const inTrigger = subject.kind !== "action"
  const input = (
    name: string,
    label: ReturnType<typeof named>,
    required: boolean,
    shape: Shape,
  ) => (
    <InputField
      key={name}
      subject={subject}
      order={order}
      inputs={names}
      name={name}
      label={label.label}
      hint={label.hint}
      required={required}
      shape={inTrigger ? { ...shape, templates: true } : shape}
      value={given[name]}
    />
  )
  if (called !== "" && form.isPending) return <Loading lines={3} className="p-0" />
  return (
    <>
      {form.data?.description !== undefined && form.data.description !== "" && (
        <p className="line-clamp-4 text-xs text-muted-foreground">{form.data.description}</p>
      )}
      {shown.map((each) =>
        input(each.name, named(each), each.required, shapeOf(each.schema, true)),
      )}
      {others.map((each) =>
        input(each, { label: each, hint: "" }, false, { kind: "any", templates: true }),
      )}
      {more.length > 0 && (
        <details className="group">
          <summary className="cursor-pointer text-xs text-muted-foreground hover:text-foreground">
            {t`More (${more.length})`}
          </summary>
          <div className="flex flex-col gap-4 pt-3">
            {more.map((each) => input(each.name, named(each), false, shapeOf(each.schema, true)))}
          </div>
        </details>
      )}
    </>
  )
}

function named(field: { name: string; schema: Record<string, unknown> | null }): {
  label: string
  hint: string
} {
  const { title, description } = (field.schema ?? {}) as Schema
  const plain =
    title?.toLowerCase().replace(/\s/g, "") === field.name.toLowerCase().replace(/_/g, "")
  return {
    label: title === undefined || plain ? words(field.name) : title,
    hint: description ?? "",
  }
}

function InputField({
  subject,
  order,
  inputs,
  name,
  label,
  hint,
  required,
  shape,
  value,
}: {
  subject: Subject
  order: readonly string[]
  inputs: readonly string[]
  name: string
  label: string
  hint: string
  required: boolean
  shape: Shape
  value: Json | undefined
}) {
  const { draft } = useFields()
  const send = useSend()
  const whole = useHeld(subject)
  const { now, change, flush, error } = useTyped(value, (next, group) =>
    send(inputEdits(subject.path, whole, name, next, order, inputs), group),
  )
  return (
    <ValueField
      label={label}
      hint={hint}
      required={required}
      shape={shape}
      value={now}
      path={[...subject.path, "with", name]}
      onChange={change}
      onLeave={flush}
      readOnly={draft.readOnly}
      error={error}
    />
  )
}
