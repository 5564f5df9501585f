import type { Schemas } from "~/api/client"
import type { DraftNotice } from "~/api/live"

export type Draft = Schemas["DraftView"]
export type Changes = Schemas["DraftChangesView"]
export type FlowOutline = Schemas["FlowOutline"]
export type OutlineNode = Schemas["OutlineNode"]
export type NodeBlock = Schemas["NodeBlock"]
export type DraftEdit = Schemas["DraftEdits"]["ops"][number]
export type TextEdit = Schemas["TextEdit"]
export type DraftFinding = Schemas["DraftFinding"]
export type UnreadablePlace = Schemas["UnreadablePlace"]
export type Editor = Schemas["EditorView"]
export type Writer = Schemas["WriterView"]
export type Notice = DraftNotice
export type Palette = Schemas["PaletteView"]

/** An address in the document: of a step, of one of its fields, or of a list of steps. */
export type Path = (string | number | boolean)[]

/** A draft at its turn: what the server has confirmed, which an edit of the text is made for. */
export type Now = { text: string; revision: number }

/** What became of an edit. `keys` has the keys of new steps, by those that they had until then. */
export type EditOutcome =
  | { made: true; revision: number; keys: ReadonlyMap<string, string> }
  | { made: false; error: Error }
