import {
  Annotation,
  Compartment,
  EditorState,
  type Extension,
  Transaction,
} from "@codemirror/state"
import { EditorView } from "@codemirror/view"
import { useCallback, useEffect, useLayoutEffect, useRef } from "react"

/** The page's policy takes the styles that the editor makes by their nonce alone. */
export function nonce(): string {
  return document.querySelector<HTMLElement>('meta[property="csp-nonce"]')?.nonce ?? ""
}

/** Looks of the editors that are fields; the tokens are the console's, so both themes fit. */
export const theme = EditorView.theme({
  "&": { color: "var(--foreground)", backgroundColor: "transparent" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "inherit", lineHeight: "20px" },
  ".cm-content": { padding: "3px 0", caretColor: "var(--foreground)" },
  ".cm-line": { padding: "0 8px" },
  ".cm-placeholder": { color: "var(--muted-foreground)" },
  ".cm-cursor, .cm-dropCursor": { borderLeftColor: "var(--foreground)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground, ::selection":
    { backgroundColor: "color-mix(in srgb, var(--ring) 30%, transparent)" },
  ".cm-tooltip": {
    backgroundColor: "var(--popover)",
    color: "var(--foreground)",
    border: "1px solid var(--border)",
    borderRadius: "6px",
    boxShadow: "0 8px 24px rgb(0 0 0 / 0.12)",
  },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": {
    fontFamily: "var(--font-mono)",
    fontSize: "12px",
    maxHeight: "240px",
  },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "3px 8px", lineHeight: "20px" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": {
    backgroundColor: "var(--accent)",
    color: "var(--accent-foreground)",
  },
  ".cm-completionMatchedText": { textDecoration: "none", fontWeight: "600" },
  ".cm-completionDetail": { fontStyle: "normal", color: "var(--muted-foreground)" },
  ".cm-completionInfo": { padding: "6px 8px", maxWidth: "280px", fontFamily: "var(--font-sans)" },
})

const outside = Annotation.define<true>()

/** Make an editor's text another one by the smallest change; it is no edit of the person who types. */
export function put(view: EditorView, text: string): void {
  const change = changeOf(view.state.doc.toString(), text)
  if (change !== null) {
    view.dispatch({
      changes: change,
      annotations: [outside.of(true), Transaction.addToHistory.of(false)],
    })
  }
}

/** Return what makes one text the other; null where they are the same. */
export function changeOf(
  before: string,
  after: string,
): { from: number; to: number; insert: string } | null {
  if (before === after) return null
  const most = Math.min(before.length, after.length)
  let first = 0
  while (first < most && before[first] === after[first]) first++
  let last = 0
  while (last < most - first && before.at(-1 - last) === after.at(-1 - last)) last++
  return { from: first, to: before.length - last, insert: after.slice(first, after.length - last) }
}

/**
 * An editor of a text that also comes from elsewhere. `attach` is the ref of the element that holds it.
 */
export function useEditor(
  text: string,
  own: Extension,
  onChange: (text: string) => void,
): { attach: (host: HTMLDivElement | null) => (() => void) | undefined; view: ViewRef } {
  const view: ViewRef = useRef(null)
  const latest = useRef({ onChange, text, own })
  useLayoutEffect(() => {
    latest.current = { onChange, text, own }
  })
  const attach = useCallback((host: HTMLDivElement | null) => {
    if (host === null) return undefined
    const listening = EditorView.updateListener.of((update) => {
      const typed = update.transactions.some((each) => each.docChanged && !each.annotation(outside))
      if (typed) latest.current.onChange(update.state.doc.toString())
    })
    const made = new EditorView({
      parent: host,
      state: EditorState.create({
        doc: latest.current.text,
        extensions: [
          EditorView.cspNonce.of(nonce()),
          theme,
          listening,
          changing.of(latest.current.own),
        ],
      }),
    })
    view.current = made
    return () => {
      view.current = null
      made.destroy()
    }
  }, [])
  useEffect(() => {
    view.current?.dispatch({ effects: changing.reconfigure(own) })
  }, [own])
  useEffect(() => {
    if (view.current !== null) put(view.current, text)
  }, [text])
  return { attach, view }
}

export type ViewRef = React.RefObject<EditorView | null>

const changing = new Compartment()
