import {
  autocompletion,
  type CompletionContext,
  type CompletionResult,
  completionKeymap,
} from "@codemirror/autocomplete"
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands"
import { yaml } from "@codemirror/lang-yaml"
import {
  bracketMatching,
  HighlightStyle,
  indentOnInput,
  indentUnit,
  syntaxHighlighting,
} from "@codemirror/language"
import {
  Annotation,
  Compartment,
  EditorState,
  type Extension,
  StateEffect,
  StateField,
  Transaction,
} from "@codemirror/state"
import {
  Decoration,
  type DecorationSet,
  drawSelection,
  EditorView,
  highlightActiveLine,
  keymap,
  lineNumbers,
} from "@codemirror/view"
import { tags } from "@lezer/highlight"
import { Trans } from "@lingui/react/macro"
import { t } from "@lingui/core/macro"
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "react"
import { Button } from "~/ui/button"
import { offsetOf } from "../draft/text"
import type { DraftFinding } from "../draft/types"
import { nonce, theme } from "../fields/code-mirror"
import type { Part } from "../frame/part"
import { stepAtLine } from "./place"
import { isOdd, plainLines, TextSync } from "./sync"

const PAUSE_MS = 400
const GROUP_MS = 1_500

const remote = Annotation.define<true>()
const marked = StateEffect.define<DecorationSet>()
const marks = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(found, change) {
    for (const each of change.effects) if (each.is(marked)) return each.value
    return found.map(change.changes)
  },
  provide: (field) => EditorView.decorations.from(field),
})

const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--code-key)" },
  { tag: [tags.string, tags.content], color: "var(--foreground)" },
  { tag: [tags.quote, tags.special(tags.string)], color: "var(--code-text)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--code-number)" },
  { tag: tags.comment, color: "var(--muted-foreground)", fontStyle: "italic" },
  { tag: [tags.separator, tags.squareBracket, tags.brace], color: "var(--muted-foreground)" },
])

const looks = EditorView.theme({
  "&": { height: "100%", fontSize: "12px" },
  ".cm-scroller": { fontFamily: "var(--font-mono)", overflow: "auto" },
  ".cm-gutters": {
    backgroundColor: "transparent",
    color: "var(--muted-foreground)",
    borderRight: "1px solid var(--border)",
  },
  ".cm-activeLine, .cm-activeLineGutter": {
    backgroundColor: "color-mix(in srgb, var(--secondary) 60%, transparent)",
  },
})

/** The text of the draft, beside its drawing: each follows the other. */
export function YamlEditor(part: Part) {
  const { draft, spot, select } = part
  const view = useRef<EditorView | null>(null)
  const key = `halflap-yaml:${draft.id}`
  const [sync] = useState(() => begun(key, draft.text))
  const [failed, setFailed] = useState<string | null>(null)
  const latest = useRef({ draft, select, spot })
  useLayoutEffect(() => {
    latest.current = { draft, select, spot }
  })
  const typing = useRef({ timer: 0, at: 0, group: "" })

  const show = useCallback(
    (changes: ReturnType<TextSync["receive"]>) => {
      if (changes !== null) {
        view.current?.dispatch({
          changes,
          annotations: [remote.of(true), Transaction.addToHistory.of(false)],
        })
      }
    },
    [view],
  )

  const flush = useCallback(async (): Promise<void> => {
    clearTimeout(typing.current.timer)
    while (sync.sent === null && !sync.unsent.empty) {
      const { draft: now } = latest.current
      const outcome = await now.retype(
        ({ text }) => {
          const { edits, shown } = sync.send(text)
          show(shown)
          return edits
        },
        { group: typing.current.group },
      )
      if (outcome.made) sync.made()
      else sync.failed()
      show(sync.receive(latest.current.draft.text))
      keep(key, sync)
      setFailed(outcome.made ? null : outcome.error.message)
      if (!outcome.made) return
    }
  }, [key, show, sync])

  const attach = useCallback(
    (host: HTMLDivElement | null) => {
      if (host === null) return undefined
      const stamp = typing.current
      const listening = EditorView.updateListener.of((update) => {
        for (const each of update.transactions) {
          if (!each.docChanged || each.annotation(remote) === true) continue
          sync.typed(each.changes)
          const at = Date.now()
          if (at - stamp.at > GROUP_MS) stamp.group = `yaml-${at}`
          stamp.at = at
          keep(key, sync)
          clearTimeout(stamp.timer)
          stamp.timer = window.setTimeout(() => void flush(), PAUSE_MS)
        }
        if (update.selectionSet && update.view.hasFocus && !update.docChanged && sync.clean) {
          const now = latest.current
          const { number } = update.state.doc.lineAt(update.state.selection.main.head)
          const found = stepAtLine(now.draft.flows, number)
          if (found !== null && found !== now.spot?.node.key) now.select(found)
        }
      })
      const complete = async (context: CompletionContext): Promise<CompletionResult | null> => {
        const line = context.state.doc.lineAt(context.pos)
        const before = context.state.sliceDoc(line.from, context.pos)
        if (!context.explicit && !/[\w$.=]$/.test(before)) return null
        await flush()
        if (context.aborted || !sync.clean) return null
        try {
          const column = Array.from(before).length + 1
          const found = await latest.current.draft.query.complete(line.number, column)
          const start = Array.from(before)
            .slice(0, found.column - 1)
            .join("").length
          return {
            from: line.from + start,
            options: found.items.map((each) => ({
              label: each.label,
              apply: each.text,
              detail: each.detail,
              ...(each.help === "" ? {} : { info: each.help }),
            })),
            validFor: /^[\w$-]*$/,
          }
        } catch {
          return null // it goes without
        }
      }
      const extensions: Extension = [
        EditorView.cspNonce.of(nonce()),
        looks,
        theme,
        lineNumbers(),
        history(),
        drawSelection(),
        highlightActiveLine(),
        indentOnInput(),
        bracketMatching(),
        indentUnit.of("  "),
        yaml(),
        syntaxHighlighting(colours),
        autocompletion({ override: [complete], icons: false }),
        keymap.of([...completionKeymap, indentWithTab, ...defaultKeymap, ...historyKeymap]),
        marks,
        writable.of([]),
        EditorView.contentAttributes.of({ "aria-label": t`YAML of the draft` }),
        EditorView.domEventHandlers({ blur: () => void flush() }),
        listening,
      ]
      const made = new EditorView({
        parent: host,
        state: EditorState.create({ doc: sync.text, extensions }),
      })
      view.current = made
      if (!sync.clean) void flush()
      return () => {
        void flush()
        view.current = null
        made.destroy()
      }
    },
    [flush, key, sync],
  )

  // Others' edits, and those of the drawing.
  useEffect(() => show(sync.receive(draft.text)), [draft.text, show, sync])

  const locked = draft.readOnly || isOdd(draft.text)
  useEffect(() => {
    view.current?.dispatch({
      effects: writable.reconfigure([
        EditorState.readOnly.of(locked),
        EditorView.editable.of(!locked),
        EditorView.contentAttributes.of({ tabindex: "0" }),
      ]),
    })
  }, [locked])

  // Findings stand in the text that they were found in.
  const { findings, findingsRevision, revision } = draft
  useEffect(() => {
    const now = view.current
    if (now === null || findingsRevision !== revision || !sync.clean) return
    now.dispatch({ effects: marked.of(marksOf(findings, now.state)) })
  }, [findings, findingsRevision, revision, sync])

  // What is selected on the drawing is brought into sight, unless the caret is here.
  const line = spot?.node.place.line
  useEffect(() => {
    const now = view.current
    if (now === null || line === undefined || now.hasFocus || line > now.state.doc.lines) return
    const at = now.state.doc.line(line).from
    now.dispatch({
      selection: { anchor: at },
      effects: EditorView.scrollIntoView(at, { y: "center" }),
    })
  }, [line])

  const { unreadable } = draft
  return (
    <div className="flex h-full min-h-0 flex-col">
      {unreadable !== null && (
        <p role="status" className="border-b bg-muted px-4 py-1.5 text-xs">
          <span className="text-failed-text">
            {t`Line ${unreadable.line}: ${unreadable.message}.`}
          </span>{" "}
          <Trans>The drawing shows what can be read; mend the text to edit it there.</Trans>
        </p>
      )}
      {isOdd(draft.text) && (
        <p role="status" className="border-b bg-muted px-4 py-1.5 text-xs">
          <Trans>
            This text has line ends that the browser would change. It is shown, not edited.
          </Trans>
        </p>
      )}
      {failed !== null && (
        <div role="alert" className="flex items-center gap-2 border-b bg-muted px-4 py-1.5 text-xs">
          <span className="min-w-0 flex-1 text-failed-text">{failed}</span>
          <Button onClick={() => void flush()}>
            <Trans>Send it again</Trans>
          </Button>
          <Button
            onClick={() => {
              const now = view.current
              if (now === null) return
              const text = plainLines(draft.text)
              sync.reset(draft.text)
              now.dispatch({
                changes: { from: 0, to: now.state.doc.length, insert: text },
                annotations: [remote.of(true)],
              })
              keep(key, sync)
              setFailed(null)
            }}
          >
            <Trans>Discard what I typed</Trans>
          </Button>
        </div>
      )}
      <div
        ref={attach}
        className="min-h-0 flex-1 overflow-hidden focus-within:outline-2 focus-within:-outline-offset-2 focus-within:outline-ring"
      />
      <p className="border-t px-4 py-0.5 text-xs text-muted-foreground">
        <Trans>Control Space completes. Escape, then Tab, leaves the text.</Trans>
      </p>
    </div>
  )
}

const writable = new Compartment()

function marksOf(findings: readonly DraftFinding[], state: EditorState): DecorationSet {
  const text = state.doc.toString()
  const made = findings.flatMap((each) => {
    if (each.line > state.doc.lines) return []
    const line = state.doc.line(each.line)
    const from = Math.min(offsetOf(text, [each.line, each.column]), line.to)
    const word = /^(?:"[^"]*"|'[^']*'|[^\s,\]}#]+)/.exec(text.slice(from, line.to))?.[0] ?? ""
    const to = Math.min(line.to, from + Math.max(1, word.length))
    if (from >= to) return []
    const look = each.severity === "error" ? "finding finding-error" : "finding"
    const mark = Decoration.mark({ class: look, attributes: { title: each.message } })
    return [mark.range(from, to)]
  })
  return Decoration.set(made, true)
}

/** What was typed and not sent, for this tab: a reload goes on with it. */
function keep(key: string, sync: TextSync): void {
  try {
    if (sync.clean) sessionStorage.removeItem(key)
    else sessionStorage.setItem(key, JSON.stringify({ base: sync.confirmed, typed: sync.text }))
  } catch {
    // The browser keeps nothing: this page has it.
  }
}

function begun(key: string, text: string): TextSync {
  try {
    const found = JSON.parse(sessionStorage.getItem(key) ?? "null") as {
      base: string
      typed: string
    } | null
    return found === null ? new TextSync(text) : TextSync.restored(text, found)
  } catch {
    return new TextSync(text)
  }
}
