import {
  autocompletion,
  type Completion,
  type CompletionSource,
  completionKeymap,
  completionStatus,
  startCompletion,
} from "@codemirror/autocomplete"
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands"
import { EditorState, type Extension, Facet } from "@codemirror/state"
import {
  Decoration,
  type DecorationSet,
  dropCursor,
  EditorView,
  keymap,
  MatchDecorator,
  placeholder as hint,
  ViewPlugin,
  type ViewUpdate,
  WidgetType,
} from "@codemirror/view"
import { t } from "@lingui/core/macro"
import { useEffect, useImperativeHandle, useMemo, useState } from "react"
import { cx } from "~/ui/class"
import { type DataNode, searched } from "../data/tree"
import { useEditor } from "./code-mirror"
import type { Part } from "./expression"
import { isPath } from "./expression"
import { naming, useFields } from "./scope"

/** A value among the text of the editor stands between these two, which texts do not have. */
const OPEN = "\uE000"
const CLOSE = "\uE001"
const ALONE = /^\uE000[^\uE000\uE001]*\uE001$/
const PILL = /\uE000([^\uE000\uE001]*)\uE001/g

/** The type of what is dragged out of the data. */
export const DRAGGED = "application/x-halflap-path"

export function encoded(parts: readonly Part[]): string {
  return parts
    .map((each) =>
      "path" in each ? OPEN + each.path + CLOSE : each.text.replace(/[\uE000\uE001]/g, ""),
    )
    .join("")
}

export function decoded(text: string): Part[] {
  const found: Part[] = []
  let at = 0
  for (const match of text.matchAll(PILL)) {
    if (match.index > at) found.push({ text: text.slice(at, match.index) })
    found.push({ path: match[1] ?? "" })
    at = match.index + match[0].length
  }
  if (at < text.length) found.push({ text: text.slice(at) })
  return found.flatMap((each): Part[] => {
    if ("path" in each) return isPath(each.path) ? [each] : []
    const plain = each.text.replace(/[\uE000\uE001]/g, "")
    return plain === "" ? [] : [{ text: plain }]
  })
}

export type PillName = { name: string; source: string; sample: string; known: boolean }

const Naming = Facet.define<(path: string) => PillName, (path: string) => PillName>({
  combine: (some) => some[0] ?? ((path) => ({ name: path, source: "", sample: "", known: true })),
})

class Pill extends WidgetType {
  constructor(
    readonly path: string,
    readonly shown: PillName,
  ) {
    super()
  }

  override eq(other: Pill): boolean {
    const [one, two] = [this.shown, other.shown]
    return (
      this.path === other.path &&
      one.name === two.name &&
      one.source === two.source &&
      one.sample === two.sample &&
      one.known === two.known
    )
  }

  override toDOM(): HTMLElement {
    const { name, source, sample, known } = this.shown
    const made = document.createElement("span")
    made.className = known ? "pill" : "pill pill-unknown"
    made.title = sample === "" ? this.path : `${this.path}: ${sample}`
    const parts: [string, string][] = [
      ["pill-source", source === name ? "" : source],
      ["pill-name", name],
      ["pill-sample", sample],
    ]
    for (const [look, text] of parts) {
      if (text === "") continue
      const part = document.createElement("span")
      part.className = look
      part.textContent = text
      made.append(part)
    }
    return made
  }
}

const matcher = new MatchDecorator({
  regexp: PILL,
  decoration: (match, view) => {
    const path = match[1] ?? ""
    return Decoration.replace({ widget: new Pill(path, view.state.facet(Naming)(path)) })
  },
})

const pills = ViewPlugin.fromClass(
  class {
    shown: DecorationSet
    constructor(view: EditorView) {
      this.shown = matcher.createDeco(view)
    }
    update(update: ViewUpdate) {
      const renamed = update.startState.facet(Naming) !== update.state.facet(Naming)
      this.shown = renamed
        ? matcher.createDeco(update.view)
        : matcher.updateDeco(update, this.shown)
    }
  },
  {
    decorations: (plugin) => plugin.shown,
    provide: (plugin) =>
      EditorView.atomicRanges.of((view) => view.plugin(plugin)?.shown ?? Decoration.none),
  },
)

/** What others paste is read as text: a path in our marks is a value, anything else is itself. */
const dropped = EditorView.domEventHandlers({
  drop(event, view) {
    const path = event.dataTransfer?.getData(DRAGGED) ?? ""
    if (!isPath(path) || view.state.readOnly) return false
    event.preventDefault()
    const at = view.posAtCoords({ x: event.clientX, y: event.clientY }) ?? view.state.doc.length
    view.dispatch({ changes: { from: at, insert: OPEN + path + CLOSE } })
    view.focus()
    return true
  },
})

export const Data = Facet.define<readonly DataNode[], readonly DataNode[]>({
  combine: (some) => some[0] ?? [],
})

const TYPED = /(?:^|\s)\/([\w.]*)$/

/** Offer values after a `/` where a word begins; what is typed stays in the text until one is taken. */
export const offered: CompletionSource = (context) => {
  const line = context.state.doc.lineAt(context.pos)
  const typed = TYPED.exec(line.text.slice(0, context.pos - line.from))?.[1]
  if (typed === undefined) return null
  const from = context.pos - typed.length - 1
  const options = searched(context.state.facet(Data), typed).map((node): Completion => ({
    label: node.path,
    detail: node.sample === "" ? node.type : node.sample.slice(0, 40),
    apply(view, _, start, end) {
      const insert = OPEN + node.path + CLOSE
      view.dispatch({
        changes: { from: start, to: end, insert },
        selection: { anchor: start + insert.length },
      })
    },
  }))
  return options.length === 0 ? null : { from, options, filter: false }
}

export type PillEditorHandle = {
  insert: (path: string, replace?: boolean) => void
  focus: () => void
}

/** An editor of a text with values in it. */
export function PillEditor({
  parts,
  onChange,
  onLeave,
  label,
  describedBy,
  invalid = false,
  readOnly = false,
  placeholder = "",
  ref,
}: {
  parts: readonly Part[]
  onChange: (parts: Part[]) => void
  onLeave: () => void
  label: string
  describedBy?: string | undefined
  invalid?: boolean
  readOnly?: boolean
  placeholder?: string
  ref?: React.Ref<PillEditorHandle>
}) {
  const fields = useFields()
  const [entered, setEntered] = useState(false)
  const text = encoded(parts)
  const extensions = useMemo((): Extension => {
    const name = (path: string): PillName => {
      const found = naming(fields, path)
      return {
        name: found.name,
        source: found.source,
        sample: found.node?.sample.slice(0, 24) ?? "",
        known: found.known,
      }
    }
    return [
      history(),
      autocompletion({ override: [offered], icons: false }),
      Data.of(fields.data),
      keymap.of([...completionKeymap, ...defaultKeymap, ...historyKeymap]),
      EditorView.lineWrapping,
      dropCursor(),
      pills,
      dropped,
      Naming.of(name),
      hint(placeholder),
      EditorState.readOnly.of(readOnly),
      EditorView.editable.of(!readOnly),
      EditorView.domEventHandlers({
        focus: () => setEntered(true),
        blur: () => onLeave(),
      }),
      EditorView.contentAttributes.of({
        "aria-label": label,
        ...(describedBy === undefined ? {} : { "aria-describedby": describedBy }),
        ...(invalid ? { "aria-invalid": "true" } : {}),
        "aria-multiline": "true",
      }),
    ]
  }, [fields, label, describedBy, invalid, readOnly, placeholder, onLeave])
  const { attach, view } = useEditor(text, extensions, (now) => onChange(decoded(now)))
  // What is typed before the data is known is looked for as soon as it is.
  useEffect(() => {
    const now = view.current
    if (now?.hasFocus !== true || completionStatus(now.state) !== null) return
    const { head } = now.state.selection.main
    const line = now.state.doc.lineAt(head)
    if (TYPED.test(line.text.slice(0, head - line.from))) startCompletion(now)
  }, [fields.data, view])
  useImperativeHandle(
    ref,
    () => ({
      focus: () => view.current?.focus(),
      insert(path, replace = false) {
        const now = view.current
        if (now === null) return
        const { from, to } = now.state.selection.main
        // A value alone, in which no place was chosen, is another one then.
        const whole = replace || (!entered && ALONE.test(now.state.doc.toString()))
        const change = whole ? { from: 0, to: now.state.doc.length } : { from, to }
        const insert = OPEN + path + CLOSE
        now.dispatch({
          changes: { ...change, insert },
          selection: { anchor: change.from + insert.length },
        })
        now.focus()
      },
    }),
    [view, entered],
  )
  return (
    <div
      ref={attach}
      title={readOnly ? t`You are looking only` : undefined}
      className={cx(
        "max-h-48 min-h-7 w-full overflow-auto rounded-md border bg-background text-sm focus-within:outline-2 focus-within:-outline-offset-1 focus-within:outline-ring",
        invalid ? "border-destructive" : "border-input",
        readOnly && "opacity-60",
      )}
    />
  )
}
