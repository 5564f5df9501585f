import { keepPreviousData, useQuery } from "@tanstack/react-query"
import { answerOf, api } from "~/api/client"
import type { Schema } from "~/features/forms/schema"
import { parseDigits } from "../draft/digits"
import { type DraftHandle, ownComponents } from "../draft/handle"
import type { Path } from "../draft/types"
import type { Json } from "../fields/model"

/** The schema of documents: it is the server's, and stays as long as the page does. */
export function useDocumentSchema() {
  return useQuery({
    queryKey: ["document-schema"],
    queryFn: () => answerOf(api.GET("/api/schema")) as Promise<Schema>,
    staleTime: Infinity,
    gcTime: Infinity,
  })
}

/** A value of the draft as it is written, with all digits. */
export function useDraftValue(draft: DraftHandle, path: Path) {
  return useQuery({
    queryKey: ["draft", draft.id, "value", path, draft.revision],
    queryFn: async () => {
      const found = await answerOf(
        api.GET("/api/drafts/{draft}/value", {
          params: { path: { draft: draft.id }, query: { path: JSON.stringify(path) } },
        }),
      )
      return parseDigits(found.value) as Json
    },
    placeholderData: keepPreviousData,
    staleTime: Infinity,
  })
}

/**
 * The inputs of what a step calls, as it is stored: an edit that is under way may change what that is.
 * An action that is not known has none.
 */
export function formQuery(draft: DraftHandle, path: Path, name: string) {
  return {
    queryKey: ["draft", draft.id, "form", path, name, draft.revision],
    enabled: name !== "" && draft.pending === 0,
    queryFn: () => draft.query.form(path),
    placeholderData: keepPreviousData<Awaited<ReturnType<DraftHandle["query"]["form"]>>>,
    staleTime: Infinity,
    retry: false,
  }
}

export function useForm(draft: DraftHandle, path: Path, name: string) {
  return useQuery(formQuery(draft, path, name))
}

export function paletteQuery(draft: DraftHandle) {
  return {
    queryKey: ["draft", draft.id, "palette", ownComponents(draft.state)],
    staleTime: Infinity,
    queryFn: () => draft.query.palette(""),
  }
}

export function usePalette(draft: DraftHandle) {
  return useQuery(paletteQuery(draft))
}
