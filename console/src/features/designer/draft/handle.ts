import { useQuery, useQueryClient } from "@tanstack/react-query"
import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react"
import { answerOf, api, type Schemas } from "~/api/client"
import { PREFIX } from "~/features/session/draft"
import { useSession } from "~/features/session/context"
import { DraftClient, type DraftState, type Refusal, type Store, serverOf } from "./client"
import type {
  DraftEdit,
  DraftFinding,
  EditOutcome,
  FlowOutline,
  Now,
  Palette,
  Path,
  TextEdit,
  UnreadablePlace,
} from "./types"

/** A draft that is open: what is in it, what may be asked of it, and its edits. */
export interface DraftHandle {
  id: string
  integration: string
  revision: number
  /** The text that the server has at `revision`; edits that are under way are not in it. */
  text: string
  /** The flows, with the edits that are under way. */
  flows: readonly FlowOutline[]
  findings: DraftFinding[]
  findingsRevision: number
  unreadable: UnreadablePlace | null
  /** True without the right to edit, and once it was deleted. */
  readOnly: boolean
  /** Edits that the server does not have yet: they are seen, and kept over a reload. */
  pending: number
  /** What waits for a decision: to take over, to make it again, or to drop it. */
  refusal: Refusal | null
  state: DraftState
  /** Edit steps and fields by their addresses in `flows`. */
  edit(ops: DraftEdit[], options?: { group?: string }): Promise<EditOutcome>
  /** Edit the text: `make` is called at its turn, with the text as the server has it then. */
  retype(make: (now: Now) => TextEdit[], options?: { group?: string }): Promise<EditOutcome>
  undo(): Promise<EditOutcome>
  redo(): Promise<EditOutcome>
  decide(how: "again" | "take" | "drop"): Promise<void>
  published(base: NonNullable<DraftState["base"]>): void
  /** Pin a component set by its id; null for the components of the base. */
  pinComponents(set: string | null): Promise<void>
  query: {
    scope(path: Path): Promise<Schemas["ScopedView"][]>
    complete(line: number, column: number): Promise<Schemas["CompletionView"]>
    evaluate(
      path: Path,
      expression: string,
      sample?: Record<string, unknown>,
    ): Promise<Schemas["EvaluatedView"]>
    form(path: Path): Promise<Schemas["CallForm"]>
    palette(search: string): Promise<Palette>
    usages(name: string, flow?: string): Promise<Schemas["UsagePlace"][]>
  }
}

/** Open a draft, and follow it until the page is left. */
export function useDraft(id: string): { draft: DraftHandle | null; error: unknown } {
  const { me, live, can } = useSession()
  const server = useMemo(() => serverOf(id), [id])
  const loaded = useQuery({
    queryKey: ["draft", id],
    queryFn: () => server.load(),
    staleTime: Infinity,
    gcTime: 0, // it is read anew when it is opened again
  })
  const who = me.user?.id ?? me.kind
  const [opened, setOpened] = useState<DraftClient | null>(null)
  const first = loaded.data
  if (opened === null && first !== undefined) {
    setOpened(new DraftClient(first, server, storeOf(`${PREFIX}${who}:edits:${id}`)))
  }
  useEffect(() => {
    if (opened === null) return
    const stop = opened.start()
    const leave = live.watch(`drafts:${id}`)
    const end = live.listen((news) => {
      if (news.kind === "draft" && news.notice.draft === id) {
        if (news.notice.revision === null) leave()
        opened.hear(news.notice)
      } else if (news.kind === "missed") opened.sync()
      else if (news.kind === "online" && news.online) opened.retry()
    })
    return () => {
      end()
      leave()
      stop()
    }
  }, [opened, live, id])
  const state = useSyncExternalStore(
    opened?.subscribe ?? never,
    opened?.snapshot ?? nothing,
    nothing,
  )
  const queries = useQueryClient()
  const own = state === null ? undefined : ownComponents(state)
  const known = useRef(own)
  useEffect(() => {
    // Forms, names and offers are of other components now.
    if (known.current !== undefined && known.current !== own) {
      void queries.invalidateQueries({ queryKey: ["draft", id] })
    }
    known.current = own
  }, [own, queries, id])
  const readOnly = !can("publish")
  const draft = useMemo(
    () => (opened === null || state === null ? null : handleOf(id, opened, state, readOnly)),
    [id, opened, state, readOnly],
  )
  return { draft, error: draft === null ? loaded.error : null }
}

/** What the components of a draft are those of: the pinned set, else the base. */
export function ownComponents({ components, base }: DraftState): string {
  return components?.id ?? base?.hash ?? ""
}

const never = () => () => undefined
const nothing = () => null

function handleOf(
  id: string,
  client: DraftClient,
  state: DraftState,
  readOnly: boolean,
): DraftHandle {
  const { integration, revision, text, flows, findings, findingsRevision } = state
  return {
    id,
    integration,
    revision,
    text,
    flows,
    findings,
    findingsRevision,
    unreadable: state.unreadable,
    pending: state.pending,
    refusal: state.refusal,
    readOnly: readOnly || state.gone,
    state,
    edit: (ops, options) => client.edit(ops, options?.group),
    retype: (make, options) => client.retype(make, options?.group),
    undo: () => client.undo("undo"),
    redo: () => client.undo("redo"),
    decide: (how) => client.decide(how),
    published: (base) => client.published(base),
    pinComponents: async (set) => {
      await answerOf(
        api.PUT("/api/drafts/{draft}/components", {
          params: { path: { draft: id } },
          body: { components: set },
        }),
      )
      await client.reload()
    },
    query: queriesOf(id),
  }
}

function queriesOf(draft: string): DraftHandle["query"] {
  const path = { draft }
  const at = (address: Path) => ({ path, query: { path: JSON.stringify(address) } })
  return {
    scope: (address) => answerOf(api.GET("/api/drafts/{draft}/scope", { params: at(address) })),
    form: (address) => answerOf(api.GET("/api/drafts/{draft}/form", { params: at(address) })),
    complete: (line, column) =>
      answerOf(
        api.GET("/api/drafts/{draft}/complete", { params: { path, query: { line, column } } }),
      ),
    evaluate: (address, expression, sample = {}) =>
      answerOf(
        api.POST("/api/drafts/{draft}/evaluate", {
          params: { path },
          body: { expression, sample, path: address },
        }),
      ),
    palette: (search) =>
      answerOf(api.GET("/api/drafts/{draft}/palette", { params: { path, query: { q: search } } })),
    usages: (name, flow) =>
      answerOf(
        api.GET("/api/drafts/{draft}/usages", {
          params: { path, query: { name, ...(flow === undefined ? {} : { flow }) } },
        }),
      ),
  }
}

function storeOf(name: string): Store {
  return {
    read() {
      try {
        return JSON.parse(sessionStorage.getItem(name) ?? "[]") as ReturnType<Store["read"]>
      } catch {
        return []
      }
    },
    write(kept) {
      try {
        if (kept.length === 0) sessionStorage.removeItem(name)
        else sessionStorage.setItem(name, JSON.stringify(kept))
      } catch {
        // The browser keeps nothing: this page has them.
      }
    },
  }
}
