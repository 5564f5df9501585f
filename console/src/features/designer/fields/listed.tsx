import { t } from "@lingui/core/macro"
import { keepPreviousData, useQuery } from "@tanstack/react-query"
import { ListFilter } from "lucide-react"
import { useState } from "react"
import { answerOf, api } from "~/api/client"
import { useSession } from "~/features/session/context"
import { IconButton } from "~/ui/button"
import { Chooser } from "~/ui/chooser"
import { parseDigits } from "../draft/digits"
import type { Path } from "../draft/types"
import { type Json, plainJson } from "./model"
import { useFields } from "./scope"

type Listed = { choices: { value: Json; label: string }[]; next: string | null }

/** Choose a value of an input among those that its app lists, by the development instance. */
export function ListedValues({
  path,
  label,
  onPick,
}: {
  path: Path
  label: string
  onPick: (value: Json) => void
}) {
  const { can } = useSession()
  const [open, setOpen] = useState(false)
  // Apps are asked for inputs of actions; a trigger's are chosen in the config.
  if (!can("configure") || !path.includes("with") || !path.includes("steps")) return null
  return (
    <>
      <IconButton
        name={t`Choices of the app for ${label}`}
        className="size-6"
        onClick={() => setOpen(true)}
      >
        <ListFilter aria-hidden />
      </IconButton>
      {open && <Choices path={path} label={label} onPick={onPick} onClose={() => setOpen(false)} />}
    </>
  )
}

function Choices({
  path,
  label,
  onPick,
  onClose,
}: {
  path: Path
  label: string
  onPick: (value: Json) => void
  onClose: () => void
}) {
  const { draft } = useFields()
  const [search, setSearch] = useState("")
  const query = useQuery({
    queryKey: ["draft", draft.id, "choices", path, draft.revision, search],
    placeholderData: keepPreviousData,
    staleTime: 60_000,
    retry: false,
    queryFn: async ({ signal }) =>
      parseDigits(
        await answerOf(
          api.GET("/api/drafts/{draft}/choices", {
            params: { path: { draft: draft.id }, query: { path: JSON.stringify(path), search } },
            parseAs: "text",
            signal,
          }),
        ),
      ) as Listed,
  })
  const items = (query.data?.choices ?? []).map((each) => {
    const key = plainJson(each.value)
    return { ...each, key, label: each.label || key }
  })
  const title = t`Choices of the app for ${label}`
  return (
    <Chooser
      title={title}
      label={title}
      placeholder={t`Type to search`}
      text={search}
      onText={setSearch}
      items={items}
      onChoose={(each) => onPick(each.value)}
      onClose={onClose}
      className="top-[10vh] max-h-[72vh] w-[min(520px,calc(100vw-24px))]"
      rowClass="py-1.5"
      row={(each) => (
        <>
          <span className="min-w-0 flex-1 truncate">{each.label}</span>
          <code className="shrink-0 text-xs text-muted-foreground">{each.key}</code>
        </>
      )}
    >
      <p role="status" className="px-4 py-3 text-muted-foreground empty:hidden">
        {query.isError
          ? query.error.message
          : query.isPending
            ? t`Asking the app…`
            : items.length === 0
              ? t`Nothing matches`
              : query.data.next !== null
                ? t`There are more: type to find them.`
                : null}
      </p>
    </Chooser>
  )
}
