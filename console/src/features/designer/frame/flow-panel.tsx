import { t } from "@lingui/core/macro"
import { type ReactNode, useState } from "react"
import { Field, Input, Textarea } from "~/ui/field"
import type { DraftHandle } from "../draft/handle"
import type { DraftEdit, FlowOutline } from "../draft/types"

/** A flow's title, name and description. */
export function FlowPanel({
  draft,
  flow,
  actions,
  onRenamed,
}: {
  draft: DraftHandle
  flow: FlowOutline
  actions: ReactNode
  onRenamed: (name: string) => void
}) {
  const set = (field: string, text: string): DraftEdit[] => {
    const path = [...flow.path, field]
    return [text === "" ? { op: "delete", path } : { op: "set", path, value: text }]
  }
  return (
    <div className="flex flex-col gap-3 p-4">
      <h2 className="font-semibold">{flow.title}</h2>
      <Line
        label={t`Title`}
        value={flow.title}
        readOnly={draft.readOnly}
        onSave={(text) => text !== "" && void draft.edit(set("title", text))}
      />
      <Line
        label={t`Name`}
        hint={t`As the document has it: what names it is renamed with it.`}
        value={flow.name}
        readOnly={draft.readOnly}
        wrong={(text) =>
          text === flow.name || (/^[a-z][a-z0-9_]*$/.test(text) && !taken(draft, text))
            ? null
            : taken(draft, text)
              ? t`Another flow has this name`
              : t`A name has small letters, digits and _`
        }
        onSave={(text) => {
          const edit: DraftEdit = { op: "rename_flow", name: flow.name, to: text }
          void draft.edit([edit]).then(({ made }) => made && onRenamed(text))
        }}
      />
      <Line
        label={t`Description`}
        value={flow.description}
        readOnly={draft.readOnly}
        long
        onSave={(text) => void draft.edit(set("description", text))}
      />
      {actions}
    </div>
  )
}

function taken(draft: DraftHandle, name: string): boolean {
  return draft.flows.some((each) => each.name === name)
}

/** A text that is sent once it is left, or with Enter; Escape takes back what was typed. */
function Line({
  label,
  hint,
  value,
  readOnly,
  long = false,
  wrong,
  onSave,
}: {
  label: string
  hint?: string
  value: string
  readOnly: boolean
  long?: boolean
  wrong?: (text: string) => string | null
  onSave: (text: string) => void
}) {
  const [typed, setTyped] = useState<string | null>(null)
  const error = typed === null ? null : (wrong?.(typed.trim()) ?? null)
  const save = () => {
    if (typed === null || error !== null) return
    if (typed.trim() !== value) onSave(typed.trim())
    setTyped(null)
  }
  return (
    <Field label={label} hint={hint} error={error}>
      {(control) => {
        const shared = {
          ...control,
          readOnly,
          value: typed ?? value,
          onBlur: save,
          onKeyDown: (event: React.KeyboardEvent) => {
            if (event.key === "Enter" && !(long && event.shiftKey)) {
              event.preventDefault()
              save()
            } else if (event.key === "Escape") setTyped(null)
          },
        }
        return long ? (
          <Textarea
            {...shared}
            rows={2}
            className="font-sans! text-sm!"
            onChange={(event) => setTyped(event.target.value)}
          />
        ) : (
          <Input {...shared} onChange={(event) => setTyped(event.target.value)} />
        )
      }}
    </Field>
  )
}
