import { Trans } from "@lingui/react/macro"
import { t } from "@lingui/core/macro"
import { Plus, X } from "lucide-react"
import { type ReactNode, useState } from "react"
import { Button, IconButton } from "~/ui/button"
import { cx } from "~/ui/class"
import { Input, Select } from "~/ui/field"
import {
  type Condition,
  isPath,
  type Item,
  type Operand,
  type Operator,
  type Row,
  rowsIn,
  withAdded,
  withItem,
} from "./expression"
import { DRAGGED } from "./pills"
import { Picker } from "./picker"
import { naming, useFields } from "./scope"

type Choice = Operator | "absent" | "present" | "true" | "false"

const choices = (): [Choice, string][] => [
  ["=", t`is`],
  ["!=", t`is not`],
  ["contains", t`contains`],
  [">", t`is more than`],
  [">=", t`is at least`],
  ["<", t`is less than`],
  ["<=", t`is at most`],
  ["in", t`is one of`],
  ["absent", t`is not there`],
  ["present", t`is there`],
  ["holds", t`holds`],
  ["true", t`is yes`],
  ["false", t`is no`],
]

function choiceOf({ operator, right }: Row): Choice {
  if (right === null) return "holds"
  const word = "word" in right ? right.word : null
  if (word === "null") return operator === "=" ? "absent" : operator === "!=" ? "present" : operator
  if (operator === "=" && word !== null) return word
  return operator
}

/** What is typed on the right is a number where it is one, else a text; `"5"` is a text. */
export function operandOf(typed: string, listed = false): Operand {
  if (listed) {
    const list = typed.split(",").map((each) => operandOf(each.trim()))
    return { list: list.map((each) => ("path" in each ? { text: each.path } : each)) }
  }
  const text = typed.trim()
  if (/^-?(0|[1-9]\d*)(\.\d+)?$/.test(text)) return { number: text }
  const quoted = QUOTED.exec(text)?.[1]
  return { text: quoted ?? typed }
}

const QUOTED = /^"(-?(?:0|[1-9]\d*)(?:\.\d+)?)"$/

export function typedOf(operand: Operand | null): string {
  if (operand === null) return ""
  if ("list" in operand) return operand.list.map(typedOf).join(", ")
  if ("number" in operand) return operand.number
  if ("word" in operand) return operand.word
  if ("path" in operand) return operand.path
  const { text } = operand
  return "number" in operandOf(text) ? `"${text}"` : text
}

function rowWith(row: Row, choice: Choice): Row {
  const { left, right } = row
  switch (choice) {
    case "holds":
      return { left, operator: "holds", right: null }
    case "absent":
      return { left, operator: "=", right: { word: "null" } }
    case "present":
      return { left, operator: "!=", right: { word: "null" } }
    case "true":
    case "false":
      return { left, operator: "=", right: { word: choice } }
    default: {
      const usable = right !== null && !("word" in right) ? right : { text: "" }
      if (choice === "in") {
        const list = "path" in usable ? usable : operandOf(typedOf(usable), true)
        return { left, operator: choice, right: list }
      }
      const plain = "list" in usable ? { text: typedOf(usable) } : usable
      const fits = choice !== "contains" || !("number" in plain)
      return {
        left,
        operator: choice,
        right: fits ? plain : { text: typedOf(plain) },
      }
    }
  }
}

/** A condition as rows and groups of rows; all of a group are joined by `and`, or by `or`. */
export function ConditionRows({
  condition,
  onChange,
  onLeave,
  label,
  readOnly,
}: {
  condition: Condition
  onChange: (condition: Condition | null) => void
  onLeave: () => void
  label: string
  readOnly: boolean
}) {
  return (
    <div role="group" aria-label={label} onBlur={onLeave}>
      <Group condition={condition} first={1} readOnly={readOnly} onChange={onChange} />
    </div>
  )
}

const words = () => ({ and: t`and`, or: t`or` })

/** The rows of a group; the number of its first one names its controls. */
function Group({
  condition,
  first,
  readOnly,
  onChange,
}: {
  condition: Condition
  first: number
  readOnly: boolean
  onChange: (condition: Condition | null) => void
}) {
  const { join, items } = condition
  // A row that has no field yet is not written: at the end, or beside the row that it makes a group with.
  const [added, setAdded] = useState<number | null>(items.length === 0 ? 0 : null)
  const other = join === "and" ? "or" : "and"
  const last = first + rowsIn(condition)
  const several = items.length > 1
  const rowAdded = (path: string, beside: Item | undefined) => {
    setAdded(null)
    const row: Row = { left: path, operator: "=", right: { text: "" } }
    if (beside === undefined) return onChange(withAdded(condition, row))
    const group: Condition = { join: other, items: [{ ...beside }, row], parens: true }
    onChange(withItem(condition, items.indexOf(beside), group))
  }
  const waiting = (number: number, beside?: Item) => (
    <div className="flex items-center gap-1.5">
      <PathChoice path="" label={t`Field ${number}`} onPick={(path) => rowAdded(path, beside)} />
      {items.length > 0 && (
        <IconButton name={t`Remove ${number}`} onClick={() => setAdded(null)}>
          <X aria-hidden />
        </IconButton>
      )}
    </div>
  )
  const numbers = [first]
  for (const each of items) numbers.push((numbers.at(-1) ?? first) + rowsIn(each))
  return (
    <div className="flex flex-col gap-1.5">
      {several && (
        <Select
          aria-label={t`Rows ${first} to ${last - 1}`}
          disabled={readOnly}
          className="max-w-48"
          value={join}
          onChange={(event) =>
            onChange({
              ...condition,
              join: event.target.value === "or" ? "or" : "and",
              source: undefined,
            })
          }
        >
          <option value="and">{t`All of these hold`}</option>
          <option value="or">{t`Any of these holds`}</option>
        </Select>
      )}
      {items.map((item, at) => {
        const [from = first, after = last] = numbers.slice(at)
        const change = (next: Item | null) => onChange(withItem(condition, at, next))
        return (
          <div key={at} className="flex flex-col gap-1.5">
            {at > 0 && <span className="pl-1 text-xs text-muted-foreground">{words()[join]}</span>}
            {"items" in item ? (
              <div
                role="group"
                aria-label={t`Rows ${from} to ${after - 1}`}
                className="rounded-md border border-l-4 bg-muted/40 p-1.5"
              >
                <Group condition={item} first={from} readOnly={readOnly} onChange={change} />
              </div>
            ) : (
              <ConditionRow row={item} number={from} readOnly={readOnly} onChange={change}>
                {several && added !== at && !readOnly && (
                  <Button
                    look="ghost"
                    aria-label={other === "or" ? t`Or, beside ${from}` : t`And, beside ${from}`}
                    title={t`Make a group of this row and another one`}
                    icon={<Plus aria-hidden />}
                    onClick={() => setAdded(at)}
                  >
                    {words()[other]}
                  </Button>
                )}
                {several && added === at && (
                  <>
                    <span className="pl-1 text-xs text-muted-foreground">{words()[other]}</span>
                    {waiting(from + 1, item)}
                  </>
                )}
              </ConditionRow>
            )}
          </div>
        )
      })}
      {added === items.length && !readOnly && waiting(last)}
      {added === null && !readOnly && (
        <div>
          <Button look="ghost" icon={<Plus aria-hidden />} onClick={() => setAdded(items.length)}>
            <Trans>Add a condition</Trans>
          </Button>
        </div>
      )}
    </div>
  )
}

function ConditionRow({
  row,
  number,
  onChange,
  readOnly,
  children,
}: {
  row: Row
  number: number
  onChange: (row: Row | null) => void
  readOnly: boolean
  /** Below the row. */
  children?: ReactNode
}) {
  const [open, setOpen] = useState(false)
  const choice = choiceOf(row)
  const takes = !["holds", "absent", "present", "true", "false"].includes(choice)
  const right = row.right
  return (
    <div className="grid grid-cols-[minmax(0,1fr)_auto] gap-1 rounded-md border p-1.5">
      <PathChoice
        path={row.left}
        label={t`Field ${number}`}
        readOnly={readOnly}
        onPick={(path) => onChange({ ...row, left: path })}
      />
      <IconButton name={t`Remove ${number}`} disabled={readOnly} onClick={() => onChange(null)}>
        <X aria-hidden />
      </IconButton>
      <div className="flex items-center gap-1">
        <Select
          aria-label={t`Operator ${number}`}
          disabled={readOnly}
          className="max-w-32 shrink-0"
          value={choice}
          onChange={(event) => onChange(rowWith(row, event.target.value as Choice))}
        >
          {choices().map(([key, title]) => (
            <option key={key} value={key}>
              {title}
            </option>
          ))}
        </Select>
        {takes &&
          (right !== null && "path" in right ? (
            <PathChoice
              path={right.path}
              label={t`Value ${number}`}
              readOnly={readOnly}
              onPick={(path) => onChange({ ...row, right: { path } })}
              onClear={() => onChange({ ...row, right: { text: "" } })}
            />
          ) : (
            <OperandInput
              row={row}
              label={t`Value ${number}`}
              readOnly={readOnly}
              onChange={(operand) => onChange({ ...row, right: operand })}
            />
          ))}
      </div>
      {takes ? (
        <Picker
          open={open}
          onOpen={setOpen}
          label={t`Value ${number}`}
          disabled={readOnly}
          onPick={(path) => onChange({ ...row, right: { path } })}
        />
      ) : (
        <span />
      )}
      <div className="col-span-2 flex flex-col items-start gap-1.5 empty:hidden">{children}</div>
    </div>
  )
}

/** What is typed on the right of a row; while it is typed in, it stays as it was typed. */
function OperandInput({
  row,
  label,
  readOnly,
  onChange,
}: {
  row: Row
  label: string
  readOnly: boolean
  onChange: (operand: Operand) => void
}) {
  const [typed, setTyped] = useState<string | null>(null)
  return (
    <Input
      aria-label={label}
      disabled={readOnly}
      value={typed ?? typedOf(row.right)}
      autoComplete="off"
      onBlur={() => setTyped(null)}
      onChange={(event) => {
        const text = event.target.value
        setTyped(text)
        const made = operandOf(text, row.operator === "in")
        const fits = row.operator !== "contains" || !("number" in made)
        onChange(fits ? made : { text })
      }}
      onDrop={(event) => {
        const path = event.dataTransfer.getData(DRAGGED)
        if (!isPath(path)) return
        event.preventDefault()
        onChange({ path })
      }}
    />
  )
}

/** A value in scope, as a pill that opens the picker. */
export function PathChoice({
  path,
  label,
  onPick,
  onClear,
  readOnly = false,
}: {
  path: string
  label: string
  onPick: (path: string) => void
  onClear?: () => void
  readOnly?: boolean
}) {
  const fields = useFields()
  const [open, setOpen] = useState(false)
  const { name, source, node, known } = naming(fields, path)
  return (
    <div
      className="flex min-w-0 flex-1 items-center gap-1"
      onDragOver={(event) => {
        if (event.dataTransfer.types.includes(DRAGGED)) event.preventDefault()
      }}
      onDrop={(event) => {
        const dragged = event.dataTransfer.getData(DRAGGED)
        if (isPath(dragged) && !readOnly) {
          event.preventDefault()
          onPick(dragged)
        }
      }}
    >
      <button
        type="button"
        disabled={readOnly}
        aria-label={path === "" ? t`${label}: Choose a value…` : `${label}: ${path}`}
        title={path}
        onClick={() => setOpen(true)}
        className="flex h-7 min-w-0 flex-1 items-center rounded-md border border-input bg-background px-1.5 text-left"
      >
        {path === "" ? (
          <span className="text-muted-foreground">{t`Choose a value…`}</span>
        ) : (
          <span className={cx("pill truncate", !known && "pill-unknown")}>
            {source !== name && <span className="pill-source">{source}</span>}
            <span className="pill-name">{name}</span>
            {node !== undefined && node.sample !== "" && (
              <span className="pill-sample">{node.sample.slice(0, 24)}</span>
            )}
          </span>
        )}
      </button>
      <Picker open={open} onOpen={setOpen} onPick={onPick} label={label} disabled={readOnly} />
      {onClear !== undefined && (
        <IconButton name={t`Remove the value`} disabled={readOnly} onClick={onClear}>
          <X aria-hidden />
        </IconButton>
      )}
    </div>
  )
}
