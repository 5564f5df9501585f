import { t } from "@lingui/core/macro"
import { useMemo } from "react"
import { toast } from "~/ui/toast"
import type { DraftHandle } from "../draft/handle"
import type { DraftEdit, FlowOutline } from "../draft/types"
import { copied } from "../tree/clip"
import {
  deleteAll,
  duplicateAll,
  moveBy,
  moveIn,
  moveOut,
  type Place,
  placeAfter,
  type Range,
  wrapAll,
} from "../tree/commands"

/** Something that can be done with what is selected: in menus, in the palette, and by keys. */
export type Command = {
  key: string
  label: string
  /** As it is shown; `matches` says which presses are meant. */
  keys?: string
  matches?: (event: KeyboardEvent) => boolean
  run: () => void
  enabled: boolean
  /** True if it is about the steps that are selected, and so in their menu. */
  ofStep: boolean
}

const MAC = navigator.userAgent.includes("Mac")
const held = (event: KeyboardEvent) => event.metaKey || event.ctrlKey

function press(key: string, { ctrl = false, alt = false, shift = false } = {}) {
  return (event: KeyboardEvent) =>
    event.key.toLowerCase() === key &&
    held(event) === ctrl &&
    event.altKey === alt &&
    event.shiftKey === shift
}

const shown = (keys: string) =>
  MAC ? keys.replace("Ctrl+", "⌘").replace("Alt+", "⌥").replace("Shift+", "⇧") : keys

/** What the frame does for commands. */
export type Doing = {
  insert: (place: Place) => void
  trigger: () => void
  usages: () => void
  name: () => void
  select: (key: string | null) => void
  publish: () => void
  components: () => void
  development: () => void
  test: () => void
  /** Flows may be run, also where another writes them. */
  tests: boolean
}

export function useCommands(
  draft: DraftHandle,
  flow: FlowOutline | null,
  selected: string | null,
  range: Range | null,
  doing: Doing,
): Command[] {
  return useMemo(
    () => commandsOf(draft, flow, selected, range, doing),
    [draft, flow, selected, range, doing],
  )
}

function commandsOf(
  draft: DraftHandle,
  flow: FlowOutline | null,
  selected: string | null,
  range: Range | null,
  doing: Doing,
): Command[] {
  const may = !draft.readOnly && flow !== null
  const has = may && range !== null
  const edit = (ops: DraftEdit[]) => void draft.edit(ops).then(told)
  const ofRange = (make: (range: Range, flow: FlowOutline) => DraftEdit[]) => () => {
    if (range !== null && flow !== null) edit(make(range, flow))
  }
  const step = (
    key: string,
    label: string,
    run: () => void,
    keys?: string,
    matches?: Command["matches"],
  ): Command => ({
    key,
    label,
    run,
    enabled: has,
    ofStep: true,
    ...(keys === undefined ? {} : { keys: shown(keys) }),
    ...(matches === undefined ? {} : { matches }),
  })
  const copy = () => {
    if (range !== null) void navigator.clipboard.writeText(copied(draft.text, range.nodes))
  }
  const away = ofRange((each) => deleteAll(each))
  const next = () => {
    const { first, last } = range ?? {}
    const near = first?.list.nodes[(last?.at ?? 0) + 1] ?? first?.list.nodes[first.at - 1]
    doing.select(near?.key ?? first?.holders.at(-1)?.key ?? null)
  }
  return [
    {
      ...step(
        "insert",
        t`Insert a step…`,
        () => {
          if (flow !== null) doing.insert(placeAfter(flow, selected))
        },
        "A",
        press("a"),
      ),
      enabled: may,
    },
    step("name", t`Rename…`, doing.name, "F2", press("f2")),
    step(
      "up",
      t`Move up`,
      ofRange((r, f) => moveBy(f, r, "up")),
      "Alt+↑",
      press("arrowup", { alt: true }),
    ),
    step(
      "down",
      t`Move down`,
      ofRange((r, f) => moveBy(f, r, "down")),
      "Alt+↓",
      press("arrowdown", { alt: true }),
    ),
    step(
      "out",
      t`Move out`,
      ofRange((r, f) => moveOut(f, r, 1)),
      "Alt+←",
      press("arrowleft", { alt: true }),
    ),
    step(
      "in",
      t`Move into the one above`,
      ofRange((r, f) => moveIn(f, r)),
      "Alt+→",
      press("arrowright", { alt: true }),
    ),
    step("duplicate", t`Duplicate`, ofRange(duplicateAll), "Ctrl+D", press("d", { ctrl: true })),
    { ...step("copy", t`Copy`, copy, "Ctrl+C"), enabled: range !== null },
    step("cut", t`Cut`, () => (copy(), away(), next()), "Ctrl+X"),
    {
      ...step(
        "paste",
        t`Paste`,
        () => {
          void navigator.clipboard.readText().then((text) => {
            if (flow !== null) edit(pasteOf(flow, selected, text))
          })
        },
        "Ctrl+V",
      ),
      enabled: may,
    },
    step(
      "if",
      t`Put into a branch`,
      ofRange((r) => wrapAll(r, "if")),
    ),
    step(
      "for",
      t`Put into a loop`,
      ofRange((r) => wrapAll(r, "for")),
    ),
    step(
      "try",
      t`Put into a try`,
      ofRange((r) => wrapAll(r, "try")),
    ),
    {
      ...step("usages", t`Find usages`, doing.usages, "Ctrl+F", press("f", { ctrl: true })),
      enabled: flow !== null,
    },
    step(
      "delete",
      t`Delete`,
      () => (away(), next()),
      "Delete",
      (event) =>
        !held(event) && !event.altKey && (event.key === "Delete" || event.key === "Backspace"),
    ),
    {
      key: "undo",
      label: t`Undo`,
      keys: shown("Ctrl+Z"),
      matches: press("z", { ctrl: true }),
      run: () => void draft.undo().then(told),
      enabled: !draft.readOnly,
      ofStep: false,
    },
    {
      key: "redo",
      label: t`Redo`,
      keys: shown("Shift+Ctrl+Z"),
      matches: (event) =>
        press("z", { ctrl: true, shift: true })(event) || press("y", { ctrl: true })(event),
      run: () => void draft.redo().then(told),
      enabled: !draft.readOnly,
      ofStep: false,
    },
    {
      key: "trigger",
      label: t`Choose a trigger…`,
      run: doing.trigger,
      enabled: may,
      ofStep: false,
    },
    {
      key: "test",
      label: t`Test the flow`,
      keys: shown("Ctrl+Enter"),
      matches: press("enter", { ctrl: true }),
      run: doing.test,
      enabled: doing.tests && flow !== null && draft.unreadable === null,
      ofStep: false,
    },
    {
      key: "components",
      label: t`Components…`,
      run: doing.components,
      enabled: !draft.readOnly,
      ofStep: false,
    },
    {
      key: "publish",
      label: t`Publish…`,
      run: doing.publish,
      enabled: !draft.readOnly,
      ofStep: false,
    },
    {
      key: "development",
      label: t`Development instance…`,
      run: doing.development,
      enabled: true,
      ofStep: false,
    },
  ]
}

export function pasteOf(flow: FlowOutline, selected: string | null, text: string): DraftEdit[] {
  const { path, at } = placeAfter(flow, selected)
  return text.trim() === "" ? [] : [{ op: "paste", path, at, text }]
}

/** Say why an edit was not made; one that waits for a decision is said above the drawing. */
export function told(outcome: Awaited<ReturnType<DraftHandle["edit"]>>): void {
  if (!outcome.made) toast(t`This was not changed`, outcome.error.message)
}
