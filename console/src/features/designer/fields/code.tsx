import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands"
import { bracketMatching, indentUnit } from "@codemirror/language"
import { EditorState, type Extension } from "@codemirror/state"
import { EditorView, keymap, lineNumbers } from "@codemirror/view"
import { t } from "@lingui/core/macro"
import { useId, useMemo } from "react"
import { FindingLine } from "../findings/line"
import type { Path } from "../draft/types"
import { startsWith } from "../tree/walk"
import { useEditor } from "./code-mirror"
import { useFields } from "./scope"

/** The text of a code step. Tab indents; Escape and then Tab leaves. */
export function CodeField({
  label,
  hint,
  text,
  path,
  onChange,
  onLeave,
  readOnly,
  error,
}: {
  label: string
  hint: string
  text: string
  path: Path
  onChange: (text: string) => void
  onLeave: () => void
  readOnly: boolean
  error: string | null
}) {
  const { draft, findings } = useFields()
  const id = useId()
  const extensions = useMemo(
    (): Extension => [
      history(),
      lineNumbers(),
      bracketMatching(),
      indentUnit.of("    "),
      keymap.of([indentWithTab, ...defaultKeymap, ...historyKeymap]),
      EditorState.readOnly.of(readOnly),
      EditorView.editable.of(!readOnly),
      EditorView.domEventHandlers({ blur: () => onLeave() }),
      EditorView.contentAttributes.of({ "aria-label": label, "aria-describedby": id }),
    ],
    [label, id, readOnly, onLeave],
  )
  const { attach } = useEditor(text, extensions, onChange)
  const own = findings.filter((each) => startsWith(each.path, path))
  return (
    <div className="flex flex-col gap-1">
      <span className="text-xs font-medium">{label}</span>
      <div
        ref={attach}
        className="max-h-120 overflow-auto rounded-md border border-input bg-background font-mono text-xs focus-within:outline-2 focus-within:outline-ring"
      />
      <div id={id}>
        {error !== null && <p className="text-xs text-failed-text">{error}</p>}
        {own.map((each, at) => (
          <FindingLine key={at} finding={each} draft={draft} />
        ))}
        <p className="text-xs text-muted-foreground">
          {hint} {t`Escape, then Tab, leaves the text.`}
        </p>
      </div>
    </div>
  )
}
