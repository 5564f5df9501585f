import { t } from "@lingui/core/macro"
import { type ReactNode, useEffect, useId, useRef, useState } from "react"
import { cx } from "~/ui/class"
import { Combobox, has, type Option } from "~/ui/combobox"
import { Input, Select } from "~/ui/field"
import { findWrong, type Wrong } from "~/features/forms/schema"
import { wrongWords } from "~/features/forms/fields"
import { samePath, startsWith } from "../tree/walk"
import type { Path } from "../draft/types"
import { FindingLine } from "../findings/line"
import { ConditionRows } from "./conditions"
import { conditionOf, NO_CONDITION, withAdded, writtenCondition, writtenParts } from "./expression"
import { FormulaEditor } from "./formula"
import { ListedValues } from "./listed"
import { LiveValue } from "./live"
import {
  asStored,
  isExpression,
  isObject,
  type Json,
  numberOf,
  partsOf,
  plainJson,
  typedParts,
  valueOfParts,
  valueOfTyped,
} from "./model"
import { type PillEditorHandle, PillEditor } from "./pills"
import { Picker } from "./picker"
import { useFields } from "./scope"
import { fits, isNumber, type Shape, typedText } from "./shape"
import { Structure } from "./structure"

export type ValueFieldProps = {
  label: string
  hint?: string | undefined
  required?: boolean
  shape: Shape
  /** A condition is edited in rows. */
  condition?: boolean
  value: Json | undefined
  path: Path
  onChange: (value: Json | undefined) => void
  onLeave: () => void
  readOnly?: boolean
  /** Without a label of its own: it stands in a table. */
  bare?: boolean
  depth?: number
  error?: string | null
  onRename?: ((name: string, to: string) => void) | undefined
}

type Mode = "own" | "pills" | "condition" | "structure" | "formula"

/** Finds the control of a field, within what holds it. */
export const FIRST_CONTROL = ["[contenteditable=true]", "input", "select", "textarea", "button"]
  .map((each) => `[data-control] ${each}`)
  .join()

const MARKS = /[\uE000\uE001]/

/** Return by what a value is edited: by the field's own control, as text with values, or as written. */
export function modeOf(shape: Shape, value: Json | undefined, condition: boolean): Mode {
  if (condition) {
    if (value === undefined || value === "") return "condition"
    const rows = isExpression(value) && conditionOf(value.slice(1)) !== null
    return rows ? "condition" : typeof value === "string" ? "formula" : "own"
  }
  if (typeof value === "string" && MARKS.test(value)) return "formula"
  if (isObject(value) || Array.isArray(value)) return "structure"
  if (isExpression(value)) {
    if (partsOf(value) !== null) return "pills"
    return conditionOf(value.slice(1)) === null ? "formula" : "condition"
  }
  if (value === undefined && ["list", "map", "object"].includes(shape.kind)) return "structure"
  if (!fits(shape, value)) return typeof value === "string" ? "pills" : "formula"
  const texts = shape.kind === "text" || shape.kind === "any"
  return texts && shape.templates ? "pills" : "own"
}

/** A value as a formula has it. */
export function formulaOf(value: Json | undefined): string {
  if (value === undefined) return ""
  if (isExpression(value)) return value.slice(1)
  if (typeof value === "string")
    return value === "" ? "" : writtenParts([{ text: typedText(value) }])
  return plainJson(value)
}

/** A field of a step: its label, its control, what it gives, and what is wrong with it. */
export function ValueField(props: ValueFieldProps) {
  const { label, hint, required = false, shape, value, path, readOnly = false } = props
  const { bare = false, condition = false, depth = 0, onChange, onLeave, error = null } = props
  const fields = useFields()
  const id = useId()
  const [written, setWritten] = useState(false)
  const [open, setOpen] = useState(false)
  const editor = useRef<PillEditorHandle>(null)
  const box = useRef<HTMLDivElement>(null)
  const visual = modeOf(shape, value, condition)
  const mode = written ? "formula" : visual
  const canToggle = shape.templates && visual !== "formula" && visual !== "structure"
  const findings = fields.findings.filter((each) =>
    visual === "structure" && depth < 6 ? samePath(each.path, path) : startsWith(each.path, path),
  )
  const wrong = error ?? wrongIn(shape, value)
  const invalid = wrong !== null || findings.some((each) => each.severity === "error")
  const note = `${id}-note`
  const describedBy = invalid || hint !== undefined ? note : undefined
  const focus = fields.focused
  const meant = focus !== null && samePath(focus, path)
  const toggled = useRef(false)
  useEffect(() => {
    if (toggled.current) editor.current?.focus()
  }, [written])
  useEffect(() => {
    if (!meant) return
    box.current?.scrollIntoView({ block: "center" })
    box.current?.querySelector<HTMLElement>(FIRST_CONTROL)?.focus()
  }, [meant, focus])

  const pick = (picked: string) => {
    if (mode === "pills" || mode === "formula") editor.current?.insert(picked)
    else if (mode === "condition") {
      const now = isExpression(value) ? conditionOf(value.slice(1)) : null
      const row = { left: picked, operator: "holds" as const, right: null }
      onChange(`=${writtenCondition(withAdded(now ?? NO_CONDITION, row))}`)
    } else onChange(`=${picked}`)
  }
  const any = shape.kind === "any"
  const common = { label, describedBy, invalid, readOnly, onLeave }
  let control: ReactNode
  if (mode === "formula") {
    control = (
      <FormulaEditor
        ref={editor}
        {...common}
        path={path}
        expression={formulaOf(value)}
        onChange={(text) => onChange(text.trim() === "" ? undefined : `=${text}`)}
      />
    )
  } else if (mode === "condition") {
    control = (
      <ConditionRows
        label={label}
        readOnly={readOnly}
        onLeave={onLeave}
        condition={(isExpression(value) ? conditionOf(value.slice(1)) : null) ?? NO_CONDITION}
        onChange={(next) => {
          // A step whose condition is gone is none any more: it is empty instead.
          if (next !== null) onChange(`=${writtenCondition(next)}`)
          else onChange(condition && required ? "" : undefined)
        }}
      />
    )
  } else if (mode === "structure") {
    control = (
      <Structure
        shape={shape}
        value={value ?? (shape.kind === "list" ? [] : {})}
        path={path}
        onChange={onChange}
        onLeave={onLeave}
        label={label}
        readOnly={readOnly}
        depth={depth}
        onRename={props.onRename}
      />
    )
  } else if (mode === "pills") {
    control = (
      <PillEditor
        ref={editor}
        {...common}
        parts={any ? typedParts(value) : (partsOf(isNumber(value) ? String(value) : value) ?? [])}
        onChange={(parts) => {
          if (parts.length === 0) return onChange(undefined)
          if (any) return onChange(valueOfTyped(parts))
          const next = valueOfParts(parts)
          const number = shape.numbers === true ? numberOf(next) : null
          onChange(number ?? next)
        }}
      />
    )
  } else {
    control = <Own {...common} shape={shape} value={value} onChange={onChange} />
  }
  const buttons = shape.templates && mode !== "structure" && !readOnly && (
    <span className="ml-auto flex shrink-0 items-center">
      {canToggle && (
        <button
          type="button"
          aria-pressed={written}
          aria-label={written ? t`fx: show ${label} as fields` : t`fx: write ${label} as a formula`}
          title={written ? t`Show as fields` : t`Write a formula`}
          onClick={() => {
            onLeave()
            toggled.current = true
            setWritten(!written)
          }}
          className={cx(
            "h-6 rounded-md px-1.5 font-mono text-xs hover:bg-secondary",
            written ? "bg-accent text-accent-foreground" : "text-muted-foreground",
          )}
        >
          fx
        </button>
      )}
      {shape.listed === true && mode !== "formula" && (
        <ListedValues
          path={path}
          label={label}
          onPick={(picked) => {
            onChange(picked)
            onLeave()
          }}
        />
      )}
      <Picker open={open} onOpen={setOpen} onPick={pick} label={label} />
    </span>
  )
  const type = typeWords(shape)
  return (
    <div
      ref={box}
      data-field={JSON.stringify(path)}
      className={cx(
        "flex min-w-0 flex-col gap-1",
        mode === "structure" && !bare && "rounded-md border p-2",
      )}
    >
      {!bare && (
        <div className="flex min-h-6 items-center gap-1.5">
          <span className="text-xs font-medium">{label}</span>
          {required && (
            <span className="text-failed-text" title={t`Required`}>
              <span aria-hidden>*</span>
              <span className="sr-only">{t`Required`}</span>
            </span>
          )}
          {type !== "" && <span className="text-xs text-muted-foreground">{type}</span>}
          {buttons}
        </div>
      )}
      <div className="flex min-w-0 items-start gap-0.5">
        <div data-control className="min-w-0 flex-1">
          {control}
        </div>
        {bare && buttons}
      </div>
      {mode !== "structure" && shape.templates && <LiveValue value={value} path={path} />}
      <div id={note} className="empty:hidden">
        {wrong !== null && <p className="text-xs text-failed-text">{wrong}</p>}
        {findings.map((each, at) => (
          <FindingLine key={at} finding={each} draft={fields.draft} />
        ))}
        {!bare && hint !== undefined && hint !== "" && wrong === null && findings.length === 0 && (
          <p className="line-clamp-3 text-xs text-muted-foreground" title={hint}>
            {hint}
          </p>
        )}
      </div>
    </div>
  )
}

function typeWords(shape: Shape): string {
  const words: Record<Shape["kind"], string> = {
    any: "",
    text: t`text`,
    number: t`number`,
    boolean: t`yes or no`,
    choice: t`choice`,
    date: t`date`,
    list: t`list`,
    map: t`map`,
    object: t`object`,
  }
  return words[shape.kind]
}

/** What is wrong with a constant, by its schema alone; the server looks at all. */
function wrongIn(shape: Shape, value: Json | undefined): string | null {
  const { control, kind } = shape
  if (value === undefined || isExpression(value)) return null
  const text = kind === "number" && typeof value === "string"
  if (text && numberOf(value) === null) return wrongWords({ code: "number" })
  if (control === undefined || (kind !== "number" && kind !== "text")) return null
  if (kind === "text" && typeof value !== "string") return null
  const found = new Map<string, Wrong>()
  findWrong(control, typedText(value), found)
  const [first] = found.values()
  return first === undefined || first.code === "missing" ? null : wrongWords(first)
}

/** A choice among texts that are offered, or another one, as it is typed. */
function OpenChoice({
  shape,
  value,
  onChange,
  onLeave,
  label,
  describedBy,
  invalid,
}: Pick<ValueFieldProps, "shape" | "value" | "onChange" | "onLeave" | "label"> & {
  describedBy: string | undefined
  invalid: boolean
}) {
  const [typed, setTyped] = useState("")
  const now = typedText(value)
  const take = (text: string) => {
    setTyped("")
    onChange(text === "" ? undefined : asStored(text))
    queueMicrotask(onLeave)
  }
  const leave = () => {
    const text = typed.trim()
    if (text === "") setTyped("")
    else take(text)
  }
  return (
    <div onBlur={leave}>
      <Combobox
        name={label}
        describedBy={describedBy}
        invalid={invalid}
        placeholder={t`Choose, or type another`}
        options={offeredFor(shape, typed, now, t`as typed`)}
        value={now === "" ? null : { value: now, label: now }}
        onSearch={setTyped}
        onChange={(next) => take(next?.value ?? "")}
      />
    </div>
  )
}

/** Return the text itself where it is no choice, which Enter takes then, and the choices in which it is. */
export function offeredFor(shape: Shape, typed: string, now: string, hint: string): Option[] {
  const all = (shape.choices ?? []).map(({ label }) => ({ value: label, label }))
  const text = typed.trim()
  // As it is opened, the text is the value: that hides no other choice.
  const found = text === "" || text === now ? all : all.filter((each) => has(each, text))
  if (text === "" || all.some((each) => each.value === text)) return found
  return [{ value: text, label: text, hint }, ...found]
}

/** The control of a constant, by its type. */
function Own({
  shape,
  value,
  onChange,
  onLeave,
  label,
  describedBy,
  invalid,
  readOnly,
}: {
  shape: Shape
  value: Json | undefined
  onChange: (value: Json | undefined) => void
  onLeave: () => void
  label: string
  describedBy: string | undefined
  invalid: boolean
  readOnly: boolean
}) {
  const common = {
    "aria-label": label,
    disabled: readOnly,
    onBlur: onLeave,
    ...(describedBy === undefined ? {} : { "aria-describedby": describedBy }),
    ...(invalid ? { "aria-invalid": true as const } : {}),
  }
  if (shape.open === true && !readOnly) {
    return <OpenChoice {...{ shape, value, onChange, onLeave, label, describedBy, invalid }} />
  }
  if (shape.kind === "boolean" || shape.kind === "choice") {
    const choices =
      shape.kind === "boolean"
        ? [
            { value: true, label: t`yes` },
            { value: false, label: t`no` },
          ]
        : (shape.choices ?? [])
    const at = choices.findIndex((each) => each.value === value)
    return (
      <Select
        {...common}
        value={at < 0 ? "" : String(at)}
        onChange={(event) => {
          const chosen = event.target.value
          onChange(chosen === "" ? undefined : choices[Number(chosen)]?.value)
        }}
      >
        <option value="">{t`Not given`}</option>
        {choices.map((each, index) => (
          <option key={index} value={index}>
            {each.label}
          </option>
        ))}
      </Select>
    )
  }
  const text = typedText(value)
  const change = (typed: string) => {
    if (typed === "") onChange(undefined)
    else if (shape.kind === "number") onChange(numberOf(typed) ?? asStored(typed))
    else onChange((shape.numbers === true ? numberOf(typed) : null) ?? asStored(typed))
  }
  return (
    <Input
      {...common}
      value={text}
      autoComplete="off"
      onChange={(event) => change(event.target.value)}
      {...(shape.kind === "number" ? { inputMode: "decimal", className: "figures" } : {})}
      {...(shape.kind === "date" && (text === "" || /^\d{4}-\d\d-\d\d$/.test(text))
        ? { type: "date" }
        : {})}
    />
  )
}
