import { t } from "@lingui/core/macro"
import { useMemo, useRef, useState } from "react"
import { nameOf } from "~/features/integrations/apps"
import { AppTile } from "~/features/integrations/app"
import { Chooser } from "~/ui/chooser"
import type { DraftHandle } from "../draft/handle"
import type { Palette } from "../draft/types"
import { usePalette } from "../panel/queries"
import { begun } from "../tree/kinds"
import { useComponentSets } from "./components"
import { KindIcon } from "./icon"
import { kindTitle } from "./words"

const RECENT = "halflap-recent-steps"
const MOST_RECENT = 5
const MOST_SHOWN = 80

type Item = { key: string; title: string; hint: string; help: string; component: string | null }

/** Choose what is inserted, or the trigger, by typing: what was used last comes first. */
export function StepPalette({
  draft,
  what,
  onChoose,
  onClose,
}: {
  draft: DraftHandle
  what: "step" | "trigger"
  onChoose: (name: string, value: Record<string, unknown>) => void
  onClose: () => void
}) {
  const [text, setText] = useState("")
  // The focus goes back to where it was: to what is selected there by then.
  const [origin] = useState(() =>
    document.activeElement?.closest<HTMLElement>("[role=tree], [role=group]"),
  )
  const back = () =>
    origin?.querySelector<HTMLElement>("[data-row][tabindex='0'], [data-step][tabindex='0']")
  const { data, error } = usePalette(draft)
  const sets = useComponentSets()
  const items = useMemo(
    () =>
      data === undefined ? [] : found(itemsOf(data, what), text, what === "step" ? recent() : []),
    [data, what, text],
  )
  // A branch is filled in first: the focus goes to its condition, once that is there.
  const goesOn = useRef(false)
  const choose = (item: Item) => {
    goesOn.current = item.key === "if"
    if (what === "step") remember(item.key)
    onChoose(item.key, item.component === null ? begun(item.key) : { [whatKey(what)]: item.key })
  }
  const title = what === "step" ? t`Insert a step` : t`Choose a trigger`
  return (
    <Chooser
      title={title}
      label={title}
      placeholder={
        what === "step" ? t`An app, an action, a kind of step…` : t`An app or a trigger…`
      }
      text={text}
      onText={setText}
      items={items}
      onChoose={choose}
      onClose={onClose}
      finalFocus={() => (goesOn.current ? false : (back() ?? true))}
      className="top-[10vh] max-h-[72vh] w-[min(600px,calc(100vw-24px))]"
      rowClass="py-1.5"
      row={(each) => (
        <>
          {each.component === null ? (
            <KindIcon kind={each.key} />
          ) : (
            <AppTile component={each.component} />
          )}
          <span className="min-w-0 flex-1">
            <span className="block truncate font-medium">{each.title}</span>
            <span className="block truncate text-xs text-muted-foreground">{each.help}</span>
          </span>
          <code className="shrink-0 text-xs text-muted-foreground">{each.hint}</code>
        </>
      )}
    >
      {items.length === 0 && (
        <p className="px-4 py-3 text-muted-foreground">
          {error !== null
            ? error.message
            : data === undefined
              ? t`Looking…`
              : draft.state.components === null
                ? sets.length === 0
                  ? t`Nothing matches. For your own apps, a developer sends them once by halflap deploy --components; then Components appears at the top, to choose them.`
                  : t`Nothing matches. Your own apps are chosen under Components, at the top.`
                : t`Nothing matches. A draft has the built-in apps, and those of the components that are named at the top.`}
        </p>
      )}
    </Chooser>
  )
}

function whatKey(what: "step" | "trigger"): string {
  return what === "step" ? "action" : "trigger"
}

function itemsOf({ kinds, calls }: Palette, what: "step" | "trigger"): Item[] {
  const wanted = what === "step" ? "action" : "trigger"
  const offered = calls
    .filter((each) => each.kind === wanted)
    .map((each) => ({
      key: each.name,
      title: each.title,
      hint: each.name,
      help: firstLine(each.description) || nameOf(each.component),
      component: each.component,
    }))
  if (what === "trigger") return offered
  const steps = kinds
    .filter((each) => each.kind !== "action")
    .map((each) => ({
      key: each.kind,
      title: kindTitle(each.kind),
      hint: each.kind,
      help: firstLine(each.help).replace(/`/g, ""),
      component: null,
    }))
  return [...steps, ...offered]
}

function firstLine(text: string): string {
  return text.split("\n")[0] ?? ""
}

/** Return the items that all words are in: those whose title begins with the text first. */
function found(items: Item[], text: string, last: string[]): Item[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean)
  if (words.length === 0) {
    const rank = (item: Item) => {
      const at = last.indexOf(item.key)
      return at === -1 ? last.length : at
    }
    return items.toSorted((one, other) => rank(one) - rank(other)).slice(0, MOST_SHOWN)
  }
  const whole = words.join(" ")
  const rank = ({ title, hint }: Item) =>
    hint.toLowerCase() === whole
      ? 0
      : title.toLowerCase().startsWith(whole)
        ? 1
        : words.every((each) => `${title} ${hint}`.toLowerCase().includes(each))
          ? 2
          : 3
  return items
    .filter(({ title, hint, help }) => {
      const all = `${title} ${hint} ${help}`.toLowerCase()
      return words.every((each) => all.includes(each))
    })
    .toSorted((one, other) => rank(one) - rank(other))
    .slice(0, MOST_SHOWN)
}

function recent(): string[] {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(RECENT) ?? "[]")
    return Array.isArray(stored) ? stored.map(String) : []
  } catch {
    return []
  }
}

function remember(key: string): void {
  const next = [key, ...recent().filter((each) => each !== key)].slice(0, MOST_RECENT)
  try {
    localStorage.setItem(RECENT, JSON.stringify(next))
  } catch {
    // The browser keeps nothing: the usual order has to do.
  }
}
