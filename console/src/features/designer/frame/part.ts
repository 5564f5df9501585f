import type { DraftHandle } from "../draft/handle"
import type { Path } from "../draft/types"
import type { Spot } from "../tree/walk"

/** What the panel and the drawer are given of the page that they are parts of. */
export type Part = {
  draft: DraftHandle
  /** The flow that is drawn. */
  flow: string | null
  /** The name under which it was opened: it may have got another one since. */
  opened: string
  /** What is selected: a step by its key, the trigger (`TRIGGER`), a list within a step; or nothing. */
  selected: string | null
  /** The step that is selected. */
  spot: Spot | null
  /** Select a step by its key (null: none), and focus one of its fields by its address. */
  select: (key: string | null, field?: Path) => void
  /** The address of the field that is to be focused, once; `seen` says that it was. */
  field: Path | null
  seen: () => void
  /** The tab of the panel that is open, as the address has it. */
  tab: string | undefined
  onTab: (tab: string) => void
}
