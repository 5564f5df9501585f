import { ChangeSet } from "@codemirror/state"
import { positionOf } from "../draft/text"
import type { TextEdit } from "../draft/types"
import { changeOf } from "../fields/code-mirror"

/** The text as the editor has it: its line ends are `\n`, and lines and columns stay what they are. */
export const plainLines = (text: string): string => text.replaceAll("\r\n", "\n")

/** True of a text that an editor of lines would change by reading it. */
export const isOdd = (text: string): boolean => /\r(?!\n)/.test(text)

function difference(before: string, after: string): ChangeSet {
  const change = changeOf(before, after)
  return ChangeSet.of(change ?? [], before.length)
}

/**
 * What is typed in an editor, beside what others make of the same text.
 *
 * The editor shows `confirmed`, with `sent` on top, with `unsent` on top. What comes from elsewhere is
 * put below both, so that neither a letter nor the caret is lost.
 */
export class TextSync {
  confirmed: string
  sent: ChangeSet | null = null
  unsent: ChangeSet

  constructor(text: string) {
    this.confirmed = plainLines(text)
    this.unsent = ChangeSet.empty(this.confirmed.length)
  }

  /** Go on with what was typed over a text that may have changed since. */
  static restored(text: string, kept: { base: string; typed: string }): TextSync {
    const made = new TextSync(kept.base)
    made.unsent = difference(made.confirmed, kept.typed)
    made.receive(text)
    return made
  }

  /** Forget what was typed. */
  reset(text: string): void {
    this.confirmed = plainLines(text)
    this.sent = null
    this.unsent = ChangeSet.empty(this.confirmed.length)
  }

  get text(): string {
    const below = this.sent === null ? this.confirmed : applied(this.sent, this.confirmed)
    return applied(this.unsent, below)
  }

  get clean(): boolean {
    return this.sent === null && this.unsent.empty
  }

  typed(changes: ChangeSet): void {
    this.unsent = this.unsent.compose(changes)
  }

  /** Take the text as the server has it; return what that changes in the editor. */
  receive(text: string): ChangeSet | null {
    if (this.sent !== null) return null // it comes with the answer
    const now = plainLines(text)
    if (now === this.confirmed) return null
    const remote = difference(this.confirmed, now)
    const shown = remote.map(this.unsent)
    this.unsent = this.unsent.map(remote, true)
    this.confirmed = now
    return shown
  }

  /** Return what is to be sent, over the text that the server has. */
  send(text: string): { edits: TextEdit[]; shown: ChangeSet | null } {
    const shown = this.receive(text)
    const edits = editsOf(this.unsent, this.confirmed, text.includes("\r\n"))
    this.sent = this.unsent
    this.unsent = ChangeSet.empty(this.sent.newLength)
    return { edits, shown }
  }

  /** It was made. */
  made(): void {
    if (this.sent === null) return
    this.confirmed = applied(this.sent, this.confirmed)
    this.sent = null
  }

  /** It was not made: what was typed is still to be sent. */
  failed(): void {
    if (this.sent === null) return
    this.unsent = this.sent.compose(this.unsent)
    this.sent = null
  }
}

function applied(changes: ChangeSet, text: string): string {
  let made = ""
  let at = 0
  changes.iterChanges((from, to, _, __, put) => {
    made += text.slice(at, from) + put.toString()
    at = to
  }, true)
  return made + text.slice(at)
}

/** Return changes as edits of the text: the last one first, so that the places of others stay. */
function editsOf(changes: ChangeSet, text: string, carriage: boolean): TextEdit[] {
  const found: TextEdit[] = []
  changes.iterChanges((from, to, _, __, put) => {
    const written = put.toString()
    found.unshift({
      op: "text",
      start: positionOf(text, from),
      end: positionOf(text, to),
      text: carriage ? written.replaceAll("\n", "\r\n") : written,
    })
  })
  return found
}
