import { useCallback, useMemo, useState } from "react"
import { ApiError } from "~/api/problem"
import { readStored, store, useDraftName } from "~/features/session/draft"
import {
  type Control,
  findWrong,
  fitsRaw,
  hiddenIn,
  placed,
  type Raw,
  type Raws,
  withoutSecrets,
  type Wrong,
} from "./schema"

export type FormState = {
  raws: Raws
  /** The fields that are not shown, by what the others hold. */
  hidden: ReadonlySet<string>
  set: (name: string, raw: Raw) => void
  /** By path, what is wrong by the schema; shown once it was left, or sent. */
  wrong: ReadonlyMap<string, Wrong>
  /** By path, what the API said; until the field changes. */
  said: ReadonlyMap<string, string>
  shown: (path: string) => boolean
  leave: (path: string) => void
  /** Show all that is wrong, or what is of some fields; return whether nothing is. */
  check: (among?: readonly Pick<Control, "name">[]) => boolean
  /** Bring an error's messages to their fields; return what is of no field. */
  refuse: (error: unknown) => void
  changed: boolean
  /** The mark of what it was based on as it was first changed, before a reload too. */
  mark: string | null
  /** Forget what was typed: it was sent. */
  drop: () => void
  reset: () => void
}

/** What is filled in of a form, stored under a key for this tab (but for secrets) until it is sent. */
export function useForm(
  controls: readonly Control[],
  initial: () => Raws,
  key: string,
  kept?: ReadonlySet<string>,
  etag: string | null = null,
): FormState {
  const name = useDraftName(key)
  const [base] = useState(initial)
  const [mark] = useState(() => (readStored(`${name}-mark`) as string | undefined) ?? etag)
  const [typed, setTyped] = useState<Raws>(() => {
    // Another version of a form has fields of other names and kinds: what was typed there is not theirs.
    const stored = (readStored(name) ?? {}) as Record<string, unknown>
    const fit = controls.filter((each) => each.name in stored && fitsRaw(each, stored[each.name]))
    return Object.fromEntries(fit.map((each) => [each.name, stored[each.name] as Raw]))
  })
  const [left, setLeft] = useState<ReadonlySet<string>>(new Set())
  const [checked, setChecked] = useState<ReadonlySet<string>>(new Set())
  const [said, setSaid] = useState<ReadonlyMap<string, string>>(new Map())
  const raws = useMemo(() => ({ ...base, ...typed }), [base, typed])
  const hidden = useMemo(() => hiddenIn(controls, raws), [controls, raws])
  const wrong = useMemo(() => {
    const found = new Map<string, Wrong>()
    for (const each of controls)
      if (!hidden.has(each.name)) findWrong(each, raws[each.name], found, kept)
    return found
  }, [controls, hidden, raws, kept])
  const set = useCallback(
    (field: string, raw: Raw) => {
      setTyped((now) => {
        const next = { ...now, [field]: raw }
        const some = controls.filter((each) => each.name in next)
        store(name, withoutSecrets(some, next))
        store(`${name}-mark`, mark ?? undefined)
        return next
      })
      setSaid((now) => {
        const rest = [...now].filter(([path]) => path !== field && !path.startsWith(`${field}.`))
        return rest.length === now.size ? now : new Map(rest)
      })
    },
    [controls, name, mark],
  )
  const drop = useCallback(() => {
    store(name, undefined)
    store(`${name}-mark`, undefined)
  }, [name])
  return {
    raws,
    hidden,
    set,
    wrong,
    said,
    // A field that the focus only passed is not wrong yet: something was typed in it.
    shown: (path) =>
      checked.has(fieldOf(path)) ||
      (left.has(path) &&
        Object.keys(typed).some((name) => path === name || path.startsWith(`${name}.`))),
    leave: useCallback((path: string) => setLeft((now) => new Set(now).add(path)), []),
    check: (among: readonly Pick<Control, "name">[] = controls) => {
      const names = new Set(among.map((each) => each.name))
      setChecked((now) => new Set([...now, ...names]))
      return [...wrong.keys()].every((path) => !names.has(fieldOf(path)))
    },
    refuse: (error) => {
      setSaid(
        error instanceof ApiError && error.problem.fields != null
          ? placed(error.problem.fields, controls, raws)
          : new Map(),
      )
    },
    changed: Object.keys(typed).length > 0,
    mark,
    drop,
    reset: () => {
      drop()
      setTyped({})
      setChecked(new Set())
      setSaid(new Map())
    },
  }
}

/** Return the name of the field that a path leads into. */
function fieldOf(path: string): string {
  return path.split(".", 1)[0] ?? path
}
