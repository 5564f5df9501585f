import { Trans } from "@lingui/react/macro"
import { t } from "@lingui/core/macro"
import { ArrowDown, ArrowUp, Plus, X } from "lucide-react"
import { memo, useCallback, useEffect, useLayoutEffect, useRef, useState } from "react"
import { Button, IconButton } from "~/ui/button"
import { Input } from "~/ui/field"
import type { Path } from "../draft/types"
import { isObject, type Json } from "./model"
import { emptyOf, type Shape } from "./shape"
import { samePath } from "../tree/walk"
import { FIRST_CONTROL, ValueField, type ValueFieldProps } from "./value-field"

type Props = {
  shape: Shape
  value: Json
  path: Path
  onChange: (value: Json) => void
  onLeave: () => void
  label: string
  readOnly: boolean
  depth: number
  /** Rename a member where others name it too. */
  onRename?: ((name: string, to: string) => void) | undefined
}

const ANY: Shape = { kind: "any", templates: true }

type MemberProps = Omit<ValueFieldProps, "onChange"> & {
  name: string | number
  put: (name: never, value: Json | undefined) => void
}

/** A value in a table: it is drawn anew as it changes, and not as the others do. */
const Member = memo(
  function Member({ name, put, ...props }: MemberProps) {
    return <ValueField {...props} onChange={(next) => put(name as never, next)} />
  },
  ({ path, ...one }, { path: now, ...other }) =>
    samePath(path, now) &&
    Object.entries(one).every(([name, value]) => other[name as keyof typeof other] === value),
)

/** Return a function that stays the same, and does what it does for what is shown last. */
function useLatest<Given extends unknown[]>(act: (...given: Given) => void) {
  const latest = useRef(act)
  useLayoutEffect(() => {
    latest.current = act
  })
  return useCallback((...given: Given) => latest.current(...given), [])
}

/** An object, a map or a list as a table; tables may stand in tables. */
export function Structure(props: Props) {
  return Array.isArray(props.value) ? (
    <ListRows {...props} items={props.value} />
  ) : (
    <MemberRows {...props} members={isObject(props.value) ? props.value : {}} />
  )
}

function MemberRows({
  shape,
  members,
  path,
  onChange,
  onLeave,
  label,
  readOnly,
  depth,
  onRename,
}: Props & { members: Record<string, Json> }) {
  const [name, setName] = useState("")
  const declared = shape.fields ?? []
  const known = new Set(declared.map((each) => each.name))
  const others = Object.keys(members).filter((each) => !known.has(each))
  const given = declared.filter((each) => each.required || Object.hasOwn(members, each.name))
  const left = declared.filter((each) => !given.includes(each))
  const put = useLatest((key: string, value: Json | undefined) => {
    const entries = Object.entries(members)
    const at = entries.findIndex(([each]) => each === key)
    if (value === undefined) onChange(objectOf(entries.filter(([each]) => each !== key)))
    else if (at < 0) onChange(objectOf([...entries, [key, value]]))
    else onChange(objectOf(entries.map((each, i) => (i === at ? [key, value] : each))))
  })
  const putText = useLatest((key: string, value: Json | undefined) => put(key, value ?? ""))
  const add = () => {
    const key = name.trim()
    if (key === "" || Object.hasOwn(members, key)) return
    put(key, emptyOf(shape.item ?? ANY))
    setName("")
  }
  const common = { onLeave, readOnly, depth: depth + 1 }
  return (
    <div className="flex flex-col gap-2">
      {given.map((each) => (
        <Member
          key={each.name}
          {...common}
          name={each.name}
          put={put}
          label={each.label}
          hint={each.hint}
          required={each.required}
          shape={each.shape}
          path={[...path, each.name]}
          value={members[each.name]}
        />
      ))}
      {others.map((each) => (
        <div key={each} className="grid grid-cols-[minmax(0,1fr)_auto] items-start gap-x-1">
          <div className="grid min-w-0 grid-cols-[minmax(72px,30%)_minmax(0,1fr)] items-start gap-1.5">
            <MemberName
              name={each}
              label={t`${label}: name of ${each}`}
              readOnly={readOnly}
              taken={(to) => Object.hasOwn(members, to)}
              onRename={(to) => {
                if (onRename !== undefined) onRename(each, to)
                else
                  onChange(
                    objectOf(
                      Object.entries(members).map(([key, value]) => [
                        key === each ? to : key,
                        value,
                      ]),
                    ),
                  )
              }}
            />
            <Member
              {...common}
              name={each}
              put={putText}
              label={each}
              bare
              shape={shape.item ?? ANY}
              path={[...path, each]}
              value={members[each]}
            />
          </div>
          <IconButton
            name={t`Remove ${each}`}
            disabled={readOnly}
            onClick={() => put(each, undefined)}
          >
            <X aria-hidden />
          </IconButton>
        </div>
      ))}
      {!readOnly && left.length > 0 && (
        <div className="flex flex-wrap gap-1">
          {left.map((each) => (
            <Button
              key={each.name}
              look="ghost"
              icon={<Plus aria-hidden />}
              title={each.hint}
              onClick={() => put(each.name, emptyOf(each.shape))}
            >
              {each.label}
            </Button>
          ))}
        </div>
      )}
      {!readOnly && (declared.length === 0 || others.length > 0) && (
        <form
          className="flex items-center gap-1"
          onSubmit={(event) => {
            event.preventDefault()
            add()
          }}
        >
          <Input
            aria-label={t`${label}: a new name`}
            placeholder={t`A new name`}
            className="max-w-44"
            value={name}
            onChange={(event) => setName(event.target.value)}
            onBlur={add}
          />
          <Button type="submit" look="ghost" icon={<Plus aria-hidden />}>
            <Trans>Add</Trans>
          </Button>
        </form>
      )}
    </div>
  )
}

/** Members may be called `__proto__`, which an object's literal would take for something else. */
function objectOf(entries: readonly (readonly [string, Json])[]): Record<string, Json> {
  return Object.fromEntries(entries)
}

/** The name of a member, which is another one once it is left. */
export function MemberName({
  name,
  label,
  taken,
  onRename,
  readOnly,
}: {
  name: string
  label: string
  taken: (name: string) => boolean
  onRename: (to: string) => void
  readOnly: boolean
}) {
  const [typed, setTyped] = useState<string | null>(null)
  const clash = typed !== null && typed.trim() !== name && taken(typed.trim())
  const leave = () => {
    const to = typed?.trim() ?? ""
    setTyped(null)
    if (to !== "" && to !== name && !taken(to)) onRename(to)
  }
  return (
    <div className="min-w-0">
      <Input
        aria-label={label}
        aria-invalid={clash || undefined}
        value={typed ?? name}
        readOnly={readOnly}
        title={name}
        onChange={(event) => setTyped(event.target.value)}
        onBlur={leave}
        onKeyDown={(event) => {
          if (event.key === "Enter") leave()
          if (event.key === "Escape" && typed !== null) {
            event.stopPropagation()
            setTyped(null)
          }
        }}
      />
      {clash && <p className="text-xs text-failed-text">{t`This is there twice.`}</p>}
    </div>
  )
}

function ListRows({
  shape,
  items,
  path,
  onChange,
  onLeave,
  label,
  readOnly,
  depth,
}: Props & { items: Json[] }) {
  const item = shape.item ?? ANY
  const swap = (at: number, to: number) => {
    const next = [...items]
    const [one, two] = [next[at], next[to]]
    if (one === undefined || two === undefined) return
    next[at] = two
    next[to] = one
    onChange(next)
  }
  const put = useLatest((at: number, value: Json | undefined) =>
    onChange(items.map((old, i) => (i === at ? (value ?? "") : old))),
  )
  const last = useRef<HTMLDivElement>(null)
  const added = useRef(false)
  useEffect(() => {
    if (added.current) last.current?.querySelector<HTMLElement>(FIRST_CONTROL)?.focus()
    added.current = false
  }, [items.length])
  return (
    <div className="flex flex-col gap-2">
      {items.map((each, at) => (
        <div
          key={at}
          ref={at === items.length - 1 ? last : undefined}
          className="grid grid-cols-[minmax(0,1fr)_auto] items-start gap-1"
        >
          <Member
            bare
            name={at}
            put={put}
            label={`${label} ${at + 1}`}
            shape={item}
            path={[...path, at]}
            value={each}
            onLeave={onLeave}
            readOnly={readOnly}
            depth={depth + 1}
          />
          <span className="flex">
            <IconButton
              className="w-6!"
              name={t`Move ${at + 1} up`}
              disabled={readOnly || at === 0}
              onClick={() => swap(at, at - 1)}
            >
              <ArrowUp aria-hidden />
            </IconButton>
            <IconButton
              className="w-6!"
              name={t`Move ${at + 1} down`}
              disabled={readOnly || at === items.length - 1}
              onClick={() => swap(at, at + 1)}
            >
              <ArrowDown aria-hidden />
            </IconButton>
            <IconButton
              className="w-6!"
              name={t`Remove ${at + 1}`}
              disabled={readOnly}
              onClick={() => onChange(items.filter((_, i) => i !== at))}
            >
              <X aria-hidden />
            </IconButton>
          </span>
        </div>
      ))}
      {!readOnly && (
        <div>
          <Button
            look="ghost"
            icon={<Plus aria-hidden />}
            onClick={() => {
              added.current = true
              onChange([...items, emptyOf(item)])
            }}
          >
            <Trans>Add an item</Trans>
          </Button>
        </div>
      )}
    </div>
  )
}
