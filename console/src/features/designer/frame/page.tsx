import { t } from "@lingui/core/macro"
import { useQuery } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { ChevronLeft, Container, Redo2, Rocket, Undo2 } from "lucide-react"
import { type ReactNode, useCallback, useEffect, useMemo, useRef, useState } from "react"
import { type Action, useOffered } from "~/features/shell/actions"
import { useSession } from "~/features/session/context"
import { Button, IconButton } from "~/ui/button"
import { Confirm } from "~/ui/confirm"
import type { MenuItem } from "~/ui/menu"
import { ErrorNotice, Loading, Notice } from "~/ui/notice"
import { toast } from "~/ui/toast"
import { type DraftHandle, useDraft } from "../draft/handle"
import type { DraftEdit, FlowOutline, Path } from "../draft/types"
import { paletteQuery } from "../panel/queries"
import { RunBar, TestButton } from "../run/bar"
import { RunContext, type Runs } from "../run/context"
import { DevelopmentDialog } from "../run/development"
import { TestDialog } from "../run/dialog"
import { usePins } from "../run/pins"
import { useRunning } from "../run/running"
import { copied } from "../tree/clip"
import { freeName, moveTo, type Place as ListPlace, rangeOf } from "../tree/commands"
import { spotOf, TRIGGER, walked, WAYS } from "../tree/walk"
import { Banners } from "./banner"
import { Canvas } from "./canvas"
import type { Mark } from "./card"
import { ComponentsButton, ComponentsDialog } from "./components"
import { type Command, pasteOf, told, useCommands } from "./commands"
import { Drawer } from "./drawer"
import { isNarrow, STEP } from "./narrow"
import { Outline } from "./outline"
import { StepPalette } from "./palette"
import { Panel } from "./panel"
import type { Part } from "./part"
import { type Menus, stepMenu, StepMenus } from "./step-menu"
import { Present, usePresence, useWriter } from "./presence"
import { PublishDialog } from "./publish"
import { UsagesDialog } from "./usages"

/** What of a draft is open, as the address has it. */
export type Place = {
  flow?: string | undefined
  step?: string | undefined
  panel?: string | undefined
  drawer?: string | undefined
}

type PageProps = { id: string; place: Place; onPlace: (place: Place) => void }

/** The designer: a draft's flows, drawn and edited. */
export function DesignerPage(props: PageProps) {
  const { draft, error } = useDraft(props.id)
  if (draft !== null) return <Designer {...props} draft={draft} />
  return error === null ? <Loading /> : <ErrorNotice error={error} />
}

/** The flow that is open; one that gets another name is still that one. */
function useOpen(flows: readonly FlowOutline[], name: string | undefined): FlowOutline | null {
  const at = flows.findIndex((each) => each.name === name)
  const [last, setLast] = useState({ name, at, count: flows.length })
  const isRenamed = at === -1 && last.name === name && last.count === flows.length
  if (at !== -1 && (last.name !== name || last.at !== at || last.count !== flows.length)) {
    setLast({ name, at, count: flows.length })
  }
  return flows[at] ?? flows[isRenamed ? last.at : 0] ?? flows[0] ?? null
}

type Open =
  | { kind: "insert"; place: ListPlace }
  | {
      kind: "trigger" | "usages" | "components" | "publish" | "delete" | "test" | "development"
    }
  | { kind: "flow" }
  | null

function Designer({ draft: whole, place, onPlace }: PageProps & { draft: DraftHandle }) {
  const { me } = useSession()
  const flow = useOpen(whole.flows, place.flow)
  const name = flow?.name ?? ""
  const writer = useWriter(whole, name, me.label)
  const draft = useMemo(
    () => (writer === null || whole.readOnly ? whole : { ...whole, readOnly: true }),
    [whole, writer],
  )
  // What may be inserted is there by the time that it is asked for.
  useQuery({ ...paletteQuery(whole), enabled: !whole.readOnly })
  const selected = place.step ?? null
  const [extent, setExtent] = useState<string | null>(null)
  const [open, setOpen] = useState<Open>(null)
  const [field, setField] = useState<Path | null>(null)
  const range = useMemo(
    () => (flow === null ? null : rangeOf(flow, selected, extent)),
    [flow, selected, extent],
  )
  const chosen = useMemo(
    () => new Set((range?.nodes ?? []).flatMap((each) => (each.key == null ? [] : [each.key]))),
    [range],
  )
  const editor = usePresence(draft.id, selected ?? name, !whole.readOnly)
  const marks = useMarks(draft, editor)

  // What follows is called by things that are made once: it sees what is there by then.
  const latest = useRef({ draft, flow, onPlace, selected, range })
  useEffect(() => {
    latest.current = { draft, flow, onPlace, selected, range }
  })
  // What is gone to next is on top of what is being gone to.
  const at = useRef(place)
  useEffect(() => {
    at.current = place
  }, [place])
  const go = useCallback((part: Place) => {
    at.current = { ...at.current, ...part }
    latest.current.onPlace(at.current)
  }, [])
  const select = useCallback(
    (key: string | null, extend = false) => {
      const { selected: before } = latest.current
      if (extend && before !== null && key !== null) {
        setExtent((now) => now ?? before)
        go({ step: key })
        return
      }
      setExtent(null)
      // Beneath the drawing it is shown with the first one that is selected, until it is closed.
      const shows = isNarrow() && key !== null && at.current.drawer === undefined
      if (key !== before) go({ step: key ?? undefined, ...(shows && { drawer: STEP }) })
    },
    [go],
  )
  const selectField = useCallback(
    (key: string | null, path?: Path) => {
      const spot = key === null ? null : spotOf(latest.current.draft.flows, key)
      setExtent(null)
      go({ step: key ?? undefined, ...(spot === null ? {} : { flow: spot.flow.name }) })
      if (path !== undefined) setField(path)
    },
    [go],
  )
  const askTest = useCallback(() => setOpen({ kind: "test" }), [])
  const runs = useRunning(whole, flow, askTest)
  const test = useRef(runs.again)
  useEffect(() => {
    test.current = runs.again
  })
  /** Edit, and select a step that is made by it: the first one. */
  const make = useCallback(
    (ops: DraftEdit[], then?: Path) => {
      const { draft: now, flow: at } = latest.current
      void now.edit(ops).then((outcome) => {
        told(outcome)
        const [key] = outcome.made ? outcome.keys.values() : []
        if (key === undefined || latest.current.flow?.name !== at?.name) return
        select(key)
        if (then !== undefined) setField(then)
      })
    },
    [select],
  )
  const doing = useMemo(
    () => ({
      test: () => test.current(),
      tests: !whole.readOnly,
      insert: (at: ListPlace) => setOpen({ kind: "insert", place: at }),
      trigger: () => setOpen({ kind: "trigger" }),
      usages: () => setOpen({ kind: "usages" }),
      components: () => setOpen({ kind: "components" }),
      publish: () => setOpen({ kind: "publish" }),
      development: () => setOpen({ kind: "development" }),
      name: () => {
        const { range: now } = latest.current
        if (now !== null) setField([...now.first.node.path, "title"])
      },
      select: (key: string | null) => select(key),
    }),
    [select, whole.readOnly],
  )
  const commands = useCommands(draft, flow, selected, range, doing)
  useOffered(useMemo(() => commands.filter((each) => each.enabled).map(actionOf), [commands]))
  useKeys(commands)
  const byKey = useRef(commands)
  useEffect(() => {
    byKey.current = commands
  })

  const menus = useMemo(() => ({ commands: () => byKey.current, select }), [select])
  const editing = useMemo(() => {
    if (draft.readOnly || draft.unreadable !== null) return undefined
    return {
      insert: doing.insert,
      menu: stepMenu,
      drop: (key: string, to: ListPlace) => {
        const { flow: now, range: wide, draft: there } = latest.current
        if (now === null) return
        const own = wide?.nodes.some((each) => each.key === key) === true
        const moved = own ? wide : rangeOf(now, key, null)
        if (moved !== null) void there.edit(moveTo([now], moved, to)).then(told)
      },
    }
  }, [draft.readOnly, draft.unreadable, doing])
  const spot = range?.first ?? null
  const part: Part = {
    draft,
    flow: flow?.name ?? null,
    selected,
    spot: selected === null || flow === null ? null : (spotOf([flow], selected) ?? null),
    select: selectField,
    field,
    seen: () => setField(null),
    tab: place.panel,
    onTab: (panel) => go({ panel }),
    // The address keeps the name under which the flow was opened.
    opened: place.flow ?? "",
  }
  const openFlow = useCallback(
    (next: string) => {
      setExtent(null)
      go({ flow: next, step: undefined })
    },
    [go],
  )
  const addFlow = () => {
    const next = freeName(
      "flow",
      draft.flows.map((each) => each.name),
    )
    const value = { trigger: "webhook.request", steps: [{ log: "An event arrived" }] }
    void draft.edit([{ op: "set", path: ["flows", next], value }]).then((outcome) => {
      told(outcome)
      if (outcome.made) openFlow(next)
    })
  }
  const flowMenu = (of: FlowOutline): MenuItem[] => [
    { label: t`Find usages`, onSelect: () => setOpen({ kind: "usages" }) },
    { label: t`Choose a trigger…`, onSelect: () => setOpen({ kind: "trigger" }) },
    ...([-1, 1] as const).map((by) => ({
      label: by === -1 ? t`Move the flow up` : t`Move the flow down`,
      disabled: flowOrder(draft.flows, of, by) === null,
      onSelect: () => {
        const op = flowOrder(draft.flows, of, by)
        if (op !== null) void draft.edit([op]).then(told)
      },
    })),
    {
      label: t`Delete the flow…`,
      disabled: of.name !== flow?.name,
      onSelect: () => setOpen({ kind: "delete" }),
    },
  ]
  const walk = (event: React.KeyboardEvent) => {
    const way = WAYS[event.key]
    if (way === undefined || event.altKey || event.metaKey || event.ctrlKey || flow === null) return
    event.preventDefault()
    const next = walked(flow, selected, way)
    if (next !== null) select(next, event.shiftKey && (way === "up" || way === "down"))
  }
  const clip = (event: React.ClipboardEvent) => {
    if (isTyped(event.target)) return
    if (event.type === "paste") {
      if (flow === null || draft.readOnly) return
      const text = event.clipboardData.getData("text/plain")
      make(pasteOf(flow, selected, text))
    } else if (range !== null) {
      event.clipboardData.setData("text/plain", copied(draft.text, range.nodes))
      if (event.type === "cut" && !draft.readOnly) {
        commands.find((each) => each.key === "delete")?.run()
      } else if (event.type === "copy") {
        toast(range.nodes.length === 1 ? t`The step was copied` : t`The steps were copied`)
      }
    } else return
    event.preventDefault()
  }
  return (
    <Around menus={menus} runs={runs}>
      <div className="flex h-full min-h-0 flex-col" onCopy={clip} onCut={clip} onPaste={clip}>
        <Top
          draft={draft}
          editor={editor}
          commands={commands}
          onFindings={() => go({ drawer: "findings" })}
        />
        <Banners draft={whole} flow={name} writer={writer} onLine={() => go({ drawer: "yaml" })} />
        <div className="flex min-h-0 flex-1">
          <div className="hidden w-55 shrink-0 flex-col border-r md:flex xl:w-75">
            <Outline
              flows={draft.flows}
              flow={flow}
              selected={selected}
              chosen={chosen}
              marks={marks}
              onSelect={select}
              onFlow={openFlow}
              onAdd={whole.readOnly || draft.unreadable !== null ? undefined : addFlow}
              flowMenu={draft.readOnly || draft.unreadable !== null ? undefined : flowMenu}
              menu={draft.readOnly || draft.unreadable !== null ? undefined : stepMenu}
            />
          </div>
          <div className="flex min-w-0 flex-1 flex-col">
            <RunBar draft={draft} onSelect={selectField} />
            <div className="flex min-h-0 flex-1" onKeyDown={walk}>
              {flow === null ? (
                <div className="flex-1">
                  <Notice title={t`It has no flows yet`}>
                    {t`A flow begins with a trigger: a webhook, a schedule, an event of an app.`}
                  </Notice>
                </div>
              ) : (
                <Canvas
                  key={part.opened}
                  flow={flow}
                  selected={selected}
                  chosen={chosen}
                  onSelect={select}
                  marks={marks}
                  run={runs.over ?? undefined}
                  onItem={runs.showItem}
                  editing={editing}
                />
              )}
            </div>
            <Drawer part={part} open={place.drawer} onOpen={(drawer) => go({ drawer })} />
          </div>
          {flow !== null && place.drawer !== "config" && <Panel part={part} />}
        </div>
        {open?.kind === "insert" && (
          <StepPalette
            draft={draft}
            what="step"
            onClose={() => setOpen(null)}
            onChoose={(kind, value) => {
              // The condition of a branch is empty: it is what is filled in first.
              const { path, at } = open.place
              make(
                [{ op: "insert", path, at, value }],
                kind === "if" ? [...path, at, kind] : undefined,
              )
            }}
          />
        )}
        {open?.kind === "trigger" && flow !== null && (
          <StepPalette
            draft={draft}
            what="trigger"
            onClose={() => setOpen(null)}
            onChoose={(trigger) => void draft.edit(triggerOf(flow, trigger)).then(told)}
          />
        )}
        {open?.kind === "usages" && flow !== null && (
          <UsagesDialog
            draft={draft}
            flow={flow}
            node={spot?.node ?? null}
            onSelect={(next, key) => go({ flow: next, step: key ?? undefined })}
            onClose={() => setOpen(null)}
          />
        )}
        {open?.kind === "test" && flow !== null && (
          <TestDialog
            key={flow.name}
            draft={draft}
            flow={flow}
            runs={runs}
            onDevelopment={() => setOpen({ kind: "development" })}
            onClose={() => setOpen(null)}
          />
        )}
        {open?.kind === "components" && (
          <ComponentsDialog draft={draft} onClose={() => setOpen(null)} />
        )}
        {open?.kind === "development" && (
          <DevelopmentDialog draft={whole} onClose={() => setOpen(null)} />
        )}
        {open?.kind === "publish" && (
          <PublishDialog
            draft={draft}
            onFindings={() => go({ drawer: "findings" })}
            onClose={() => setOpen(null)}
          />
        )}
        {open?.kind === "delete" && flow !== null && (
          <Confirm
            title={t`Delete the flow ${flow.title}`}
            verb={t`Delete`}
            danger
            onClose={() => setOpen(null)}
            onConfirm={async () => {
              const outcome = await draft.edit([{ op: "delete", path: flow.path }])
              if (!outcome.made) throw outcome.error
              go({ flow: undefined, step: undefined })
            }}
          >
            <p>{t`Its steps go with it. Undo brings it back.`}</p>
          </Confirm>
        )}
      </div>
    </Around>
  )
}

/** Gives the parts of the page what steps can be told, and the run that is laid over them. */
function Around({ menus, runs, children }: { menus: Menus; runs: Runs; children: ReactNode }) {
  return (
    <StepMenus value={menus}>
      <RunContext value={runs}>{children}</RunContext>
    </StepMenus>
  )
}

/** Put a flow before the one above it, or behind the one below it; null where there is none. */
function flowOrder(flows: readonly FlowOutline[], flow: FlowOutline, by: 1 | -1): DraftEdit | null {
  const beside = flows.filter((each) => each.path[0] === flow.path[0])
  const at = beside.findIndex((each) => each.name === flow.name)
  if (beside[at + by] === undefined) return null
  return {
    op: "reorder",
    path: flow.path,
    before: beside[by === 1 ? at + 2 : at - 1]?.name ?? null,
  }
}

/** Another trigger: the inputs of the one before are none of it. */
function triggerOf(flow: FlowOutline, trigger: string): DraftEdit[] {
  if (trigger === flow.trigger) return []
  const set: DraftEdit = { op: "set", path: [...flow.path, "trigger"], value: trigger }
  const rest: DraftEdit = { op: "delete", path: [...flow.path, "with"] }
  return flow.fields["with"] === undefined ? [set] : [set, rest]
}

function actionOf({ key, label, keys, run }: Command): Action {
  return { key: `designer ${key}`, title: label, hint: keys, run }
}

function isTyped(target: EventTarget | null): boolean {
  return (
    target instanceof Element &&
    target.closest(
      "input, textarea, select, [contenteditable=true], [role=dialog], [role=menu]",
    ) !== null
  )
}

/** Keys that are typed too act on what is drawn, and only where it has the focus. */
function isAimed({ key, target }: KeyboardEvent): boolean {
  const typed = key.length === 1 || key === "Delete" || key === "Backspace"
  return (
    !typed || (target instanceof Element && target.closest("[role=tree], [data-drawing]") !== null)
  )
}

/** Run commands by their keys, wherever the focus is, but where something is typed. */
function useKeys(commands: readonly Command[]): void {
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (event.defaultPrevented || isTyped(event.target)) return
      const bare = !event.ctrlKey && !event.metaKey
      if (bare && !isAimed(event)) return
      const found = commands.find((each) => each.enabled && each.matches?.(event) === true)
      if (found === undefined) return
      event.preventDefault()
      found.run()
    }
    window.addEventListener("keydown", listen)
    return () => window.removeEventListener("keydown", listen)
  }, [commands])
}

/** By step, its findings, who else has it selected, and its pin; by flow (`flow …`) those of its steps. */
function useMarks(draft: DraftHandle, editor: string): ReadonlyMap<string, Mark> {
  const { findings, flows } = draft
  const { editors } = draft.state
  // Pins are read anew with each revision, and are mostly the same.
  const pinned = [...usePins(draft).keys()].join(" ")
  return useMemo(() => {
    const marks = new Map<string, Mark>()
    const of = (key: string) => {
      const mark = marks.get(key) ?? { errors: 0, warnings: 0, editors: [], pinned: false }
      marks.set(key, mark)
      return mark
    }
    for (const { node, path, severity } of findings) {
      const name = path[0] === "flows" ? String(path[1]) : null
      for (const key of [
        node ?? (path[2] === "trigger" ? TRIGGER : null),
        name && `flow ${name}`,
      ]) {
        if (key === null || key === "") continue
        const mark = of(key)
        if (severity === "error") mark.errors++
        else mark.warnings++
      }
    }
    for (const key of pinned.split(" ")) if (key !== "") of(key).pinned = true
    for (const each of editors) {
      if (each.editor === editor || each.selected === "") continue
      const flow = flows.find(({ name }) => name === each.selected)
      const mark = of(flow === undefined ? each.selected : `flow ${flow.name}`)
      mark.editors = [...new Set([...mark.editors, each.label])]
    }
    return marks
  }, [findings, flows, editors, editor, pinned])
}

function Top({
  draft,
  editor,
  commands,
  onFindings,
}: {
  draft: DraftHandle
  editor: string
  commands: readonly Command[]
  onFindings: () => void
}) {
  const { integration, state } = draft
  const command = (key: string) => commands.find((each) => each.key === key)
  const errors = draft.findings.filter((each) => each.severity === "error").length
  const base = state.base
  return (
    <header className="flex min-h-12 shrink-0 flex-wrap items-center gap-x-2 gap-y-1 border-b px-3 py-1 lg:flex-nowrap">
      <Link
        to="/integrations/$integration"
        params={{ integration }}
        search={{}}
        className="inline-flex min-w-0 items-center text-muted-foreground hover:text-foreground"
      >
        <ChevronLeft aria-hidden className="size-4 shrink-0" />
        <h1 className="truncate font-semibold text-foreground">{integration}</h1>
      </Link>
      <span className="hidden truncate text-xs text-muted-foreground sm:inline">
        {base === null ? t`draft of a new integration` : t`draft, from version ${base.number}`}
      </span>
      <ComponentsButton draft={draft} onOpen={() => command("components")?.run()} />
      <span role="status" className="truncate text-xs text-muted-foreground">
        {savedWord(draft)}
      </span>
      <span className="ml-auto flex flex-wrap items-center justify-end gap-x-2 gap-y-1 lg:flex-nowrap">
        <Present draft={draft} editor={editor} />
        <IconButton
          name={`${t`Undo`} (${command("undo")?.keys ?? ""})`}
          disabled={draft.readOnly}
          onClick={() => command("undo")?.run()}
        >
          <Undo2 aria-hidden />
        </IconButton>
        <IconButton
          name={`${t`Redo`} (${command("redo")?.keys ?? ""})`}
          disabled={draft.readOnly}
          onClick={() => command("redo")?.run()}
        >
          <Redo2 aria-hidden />
        </IconButton>
        <Button onClick={onFindings}>
          {errors > 0 ? (
            <span className="text-failed-text">{t`Errors: ${errors}`}</span>
          ) : draft.findings.length > 0 ? (
            t`Findings: ${draft.findings.length}`
          ) : (
            t`No findings`
          )}
        </Button>
        <Button
          look="ghost"
          icon={<Container aria-hidden />}
          aria-label={t`Development instance…`}
          title={t`Development instance…`}
          onClick={() => command("development")?.run()}
        >
          <span className="hidden lg:inline">{t`Development`}</span>
        </Button>
        <TestButton disabled={command("test")?.enabled !== true} />
        <Button
          look="primary"
          icon={<Rocket aria-hidden />}
          disabled={command("publish")?.enabled !== true}
          onClick={() => command("publish")?.run()}
        >
          {t`Publish…`}
        </Button>
      </span>
    </header>
  )
}

function savedWord({ pending, readOnly, refusal, state }: DraftHandle): string {
  if (!state.online) return t`Not sent yet`
  if (refusal !== null) return t`Waits for you`
  if (pending > 0) return t`Saving…`
  return readOnly ? t`Read only` : t`Saved`
}
