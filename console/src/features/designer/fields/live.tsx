import { keepPreviousData, useQuery } from "@tanstack/react-query"
import { t } from "@lingui/core/macro"
import { asText, lookUp } from "../data/tree"
import { parseDigits } from "../draft/digits"
import type { Path } from "../draft/types"
import { isExpression, type Json, partsOf, summary } from "./model"
import { type Fields, useFields } from "./scope"

export type Live = { text: string; state: "value" | "absent" | "wrong" }

/** What a text with values in it gives over the samples; null where only the server can say. */
function shown(fields: Fields, value: string): Live | null {
  const parts = partsOf(value)
  if (parts === null || fields.data.length === 0) return null
  const [first] = parts
  if (parts.length === 1 && first !== undefined && "path" in first) {
    if (first.path.includes("[")) return null
    const found = lookUp(fields.data, first.path)
    if (found?.value === undefined || found.each) return null
    return { text: summary(found.value), state: "value" }
  }
  let text = ""
  for (const each of parts) {
    if ("text" in each) text += each.text
    else {
      if (each.path.includes("[")) return null
      const found = lookUp(fields.data, each.path)
      if (found?.value === undefined || found.each) return null
      text += asText(found.value)
    }
  }
  return { text: summary(text), state: "value" }
}

/** What an expression gives over the samples, beneath its field. */
export function LiveValue({ value, path }: { value: Json | undefined; path: Path }) {
  const fields = useFields()
  const expression = isExpression(value) ? value : null
  const own = expression === null ? null : shown(fields, expression)
  const { draft, samples, scopedAt } = fields
  const { data } = useQuery({
    queryKey: ["draft", draft.id, "evaluate", path, expression, samples, scopedAt],
    enabled: expression !== null && own === null && !draft.readOnly,
    queryFn: () => draft.query.evaluate(path, expression ?? "", samples as Record<string, unknown>),
    placeholderData: keepPreviousData,
    staleTime: Infinity,
    retry: false,
  })
  if (expression === null) return null
  const found: Live | null =
    own ??
    (data === undefined
      ? null
      : data.error !== null
        ? { text: data.error.message, state: "wrong" }
        : data.value === null
          ? { text: t`nothing`, state: "absent" }
          : { text: summary(parseDigits(data.value) as Json), state: "value" })
  if (found === null) return <p className="h-4" />
  const looks = {
    value: "text-foreground/80",
    absent: "text-muted-foreground italic",
    wrong: "text-failed-text",
  }
  return (
    <p className="figures truncate text-xs" data-live={found.state}>
      <span aria-hidden className="text-muted-foreground">
        {"→ "}
      </span>
      <span className={looks[found.state]}>
        {found.text === "" ? t`an empty text` : found.text}
      </span>
    </p>
  )
}
