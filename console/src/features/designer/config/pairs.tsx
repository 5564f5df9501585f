import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { Trash2 } from "lucide-react"
import { Button } from "~/ui/button"
import { Field, Input, Select } from "~/ui/field"
import type { DraftEdit } from "../draft/types"
import { isObject, type Json } from "../fields/model"
import { useFields } from "../fields/scope"
import { typedText } from "../fields/shape"
import { useTyped } from "../fields/typed"
import { memberEdits } from "../panel/edits"
import { connectionsOf } from "../panel/step"

type Held = Record<string, Json>
type Send = (ops: DraftEdit[], group?: string) => Promise<string | null>

const PARTS = ["name", "title", "description", "config", "pairs"]

const pairsOf = (held: Held): Held => (isObject(held["pairs"]) ? held["pairs"] : {})

/** The names of a document's pairs of records. */
export function pairNames(held: Held): string[] {
  return Object.keys(pairsOf(held))
}

/** Add a pair between the first two connections; the kinds of their records are filled in then. */
export function pairAdded(held: Held, name: string): DraftEdit[] {
  const [one = "one", other = "other"] = connectionsOf(held["config"])
  const value: Json = { sides: { [one]: "", [other]: "" } }
  if (isObject(held["pairs"])) return [{ op: "set", path: ["pairs", name], value, after: null }]
  return memberEdits([], held, "pairs", { [name]: value }, PARTS)
}

/** Which records of which two connections belong together. */
export function PairProperties({
  held,
  name,
  send,
  onGone,
}: {
  held: Held
  name: string
  send: Send
  onGone: () => void
}) {
  const { draft } = useFields()
  const pair = pairsOf(held)[name]
  const sides = isObject(pair) && isObject(pair["sides"]) ? pair["sides"] : {}
  const master = isObject(pair) ? typedText(pair["master"]) : ""
  const connections = connectionsOf(held["config"])
  const path = ["pairs", name, "sides"]
  const choose = (at: number, side: string) => {
    const all = Object.entries(sides)
    const value = Object.fromEntries(all.map(([each, kind], i) => [i === at ? side : each, kind]))
    void send([{ op: "set", path, value, after: null }])
  }
  return (
    <section aria-label={name} className="flex flex-col gap-4">
      <div className="flex items-center gap-2">
        <h3 className="min-w-0 flex-1 truncate font-mono">{name}</h3>
        {!draft.readOnly && (
          <Button
            icon={<Trash2 aria-hidden />}
            onClick={() => {
              void send([{ op: "delete", path: ["pairs", name] }]).then(
                (wrong) => wrong === null && onGone(),
              )
            }}
          >
            <Trans>Delete</Trans>
          </Button>
        )}
      </div>
      {Object.entries(sides).map(([side, kind], at) => (
        <div key={at} className="grid grid-cols-2 gap-2">
          <Field label={t`App ${at + 1}`}>
            {(said) => (
              <Select
                {...said}
                disabled={draft.readOnly}
                value={side}
                onChange={(event) => choose(at, event.target.value)}
              >
                {[...new Set([side, ...connections])]
                  .filter((each) => each === side || !Object.hasOwn(sides, each))
                  .map((each) => (
                    <option key={each} value={each}>
                      {each}
                    </option>
                  ))}
              </Select>
            )}
          </Field>
          <KindOfRecord
            key={side}
            label={t`Records ${at + 1}`}
            kind={typedText(kind)}
            onKind={(value, group) =>
              send([{ op: "set", path: [...path, side], value, after: null }], group)
            }
          />
        </div>
      ))}
      <Field label={t`Master`} hint={t`The side that wins where both were edited at once.`}>
        {(said) => (
          <Select
            {...said}
            disabled={draft.readOnly}
            value={master}
            onChange={(event) => {
              const { value } = event.target
              const at = ["pairs", name, "master"]
              void send([
                value === ""
                  ? { op: "delete", path: at }
                  : { op: "set", path: at, value, after: "sides" },
              ])
            }}
          >
            <option value="">{t`Not given`}</option>
            {Object.keys(sides).map((each) => (
              <option key={each} value={each}>
                {each}
              </option>
            ))}
          </Select>
        )}
      </Field>
    </section>
  )
}

function KindOfRecord({
  label,
  kind,
  onKind,
}: {
  label: string
  kind: string
  onKind: (kind: string, group: string) => Promise<string | null>
}) {
  const { draft } = useFields()
  const { now, change, flush, error } = useTyped(kind, onKind)
  return (
    <Field label={label} hint={t`As the app calls them: Account, contact.`} error={error}>
      {(said) => (
        <Input
          {...said}
          value={now}
          readOnly={draft.readOnly}
          autoComplete="off"
          onChange={(event) => change(event.target.value)}
          onBlur={flush}
        />
      )}
    </Field>
  )
}
