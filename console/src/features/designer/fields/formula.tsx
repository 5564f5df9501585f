import {
  autocompletion,
  type Completion,
  type CompletionContext,
  closeBrackets,
  completionKeymap,
} from "@codemirror/autocomplete"
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands"
import { bracketMatching } from "@codemirror/language"
import { EditorState, type Extension } from "@codemirror/state"
import { dropCursor, EditorView, keymap } from "@codemirror/view"
import { useImperativeHandle, useMemo } from "react"
import { answerOf, api } from "~/api/client"
import { cx } from "~/ui/class"
import type { Path } from "../draft/types"
import { useEditor } from "./code-mirror"
import { isPath } from "./expression"
import { DRAGGED, type PillEditorHandle } from "./pills"
import { useFields } from "./scope"

const TYPES: Record<string, string> = {
  field: "property",
  name: "variable",
  function: "function",
  key: "property",
  value: "constant",
}

/** Ask the server what could follow half an expression. */
async function offered(
  draft: string,
  path: Path,
  before: string,
): Promise<{ column: number; items: Completion[] }> {
  const found = await answerOf(
    api.GET("/api/drafts/{draft}/complete", {
      params: { path: { draft }, query: { path: JSON.stringify(path), before } },
    }),
  )
  const items = found.items.map((each): Completion => {
    const made: Completion = {
      label: each.label,
      apply: each.text,
      type: TYPES[each.kind] ?? "text",
      detail: each.detail,
    }
    if (each.help !== "") made.info = each.help
    return made
  })
  return { column: found.column, items }
}

/** An expression as it is written, with completion. */
export function FormulaEditor({
  expression,
  path,
  onChange,
  onLeave,
  label,
  describedBy,
  invalid = false,
  readOnly = false,
  ref,
}: {
  expression: string
  path: Path
  onChange: (expression: string) => void
  onLeave: () => void
  label: string
  describedBy?: string | undefined
  invalid?: boolean
  readOnly?: boolean
  ref?: React.Ref<PillEditorHandle>
}) {
  const { draft } = useFields()
  const address = JSON.stringify(path)
  const extensions = useMemo((): Extension => {
    const complete = async (context: CompletionContext) => {
      const before = context.state.sliceDoc(0, context.pos)
      const ends = /[\w$.]$/.test(before)
      if (!context.explicit && !ends) return null
      try {
        const { column, items } = await offered(draft.id, JSON.parse(address) as Path, before)
        // The server counts characters, the editor the units of UTF-16.
        const from = Array.from(before)
          .slice(0, column - 1)
          .join("").length
        return items.length === 0 ? null : { from, options: items, validFor: /^\$?\w*$/ }
      } catch {
        return null // it goes without
      }
    }
    return [
      history(),
      closeBrackets(),
      bracketMatching(),
      autocompletion({ override: [complete], icons: false }),
      keymap.of([...completionKeymap, ...defaultKeymap, ...historyKeymap]),
      EditorView.lineWrapping,
      dropCursor(),
      EditorState.readOnly.of(readOnly),
      EditorView.editable.of(!readOnly),
      EditorView.domEventHandlers({
        blur: () => onLeave(),
        drop(event, view) {
          const dragged = event.dataTransfer?.getData(DRAGGED) ?? ""
          if (!isPath(dragged) || view.state.readOnly) return false
          event.preventDefault()
          const at = view.posAtCoords({ x: event.clientX, y: event.clientY }) ?? 0
          view.dispatch({ changes: { from: at, insert: dragged } })
          view.focus()
          return true
        },
      }),
      EditorView.contentAttributes.of({
        "aria-label": label,
        "aria-multiline": "true",
        ...(describedBy === undefined ? {} : { "aria-describedby": describedBy }),
        ...(invalid ? { "aria-invalid": "true" } : {}),
      }),
    ]
  }, [draft.id, address, onLeave, label, describedBy, invalid, readOnly])
  const { attach, view } = useEditor(expression, extensions, onChange)
  useImperativeHandle(
    ref,
    () => ({
      focus() {
        const now = view.current
        now?.dispatch({ selection: { anchor: now.state.doc.length } })
        now?.focus()
      },
      insert(inserted) {
        const now = view.current
        if (now === null) return
        now.dispatch(now.state.replaceSelection(inserted))
        now.focus()
      },
    }),
    [view],
  )
  return (
    <div
      className={cx(
        "flex w-full rounded-md border bg-background font-mono text-xs focus-within:outline-2 focus-within:-outline-offset-1 focus-within:outline-ring",
        invalid ? "border-destructive" : "border-input",
      )}
    >
      <span aria-hidden className="py-1 pl-2 leading-5 text-muted-foreground select-none">
        =
      </span>
      <div ref={attach} className="max-h-64 min-w-0 flex-1 overflow-auto" />
    </div>
  )
}
