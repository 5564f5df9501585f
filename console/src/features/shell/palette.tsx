import { Dialog } from "@base-ui/react/dialog"
import { t } from "@lingui/core/macro"
import { keepPreviousData, useQuery } from "@tanstack/react-query"
import { useNavigate } from "@tanstack/react-router"
import { type KeyboardEvent, useId, useMemo, useState } from "react"
import { answerOf, api } from "~/api/client"
import { integrationsQuery } from "~/features/integrations/queries"
import { SHORTEST } from "~/features/search/search"
import { cx } from "~/ui/class"
import { useActions } from "./actions"
import { setTheme } from "./theme"

type Item = { key: string; title: string; hint: string; run: () => void }

const EXECUTION = /^exe_[A-Za-z0-9]+$/
const INSTANCE = /^ins_[A-Za-z0-9]+$/
const BULK = /^blk_[A-Za-z0-9]+$/
const CONNECTION = /^con_[A-Za-z0-9]+$/
const MOST = 5

/** Find pages, actions, ids, records and customers by typing. */
export function Palette({ onClose }: { onClose: () => void }) {
  const [text, setText] = useState("")
  const [at, setAt] = useState(0)
  const items = useItems(text.trim())
  const list = useId()
  const selected = Math.min(at, items.length - 1)
  const run = (item: Item | undefined) => {
    if (item === undefined) return
    onClose()
    item.run()
  }
  const onKeyDown = (event: KeyboardEvent) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0
    if (step !== 0) setAt((selected + step + items.length) % Math.max(1, items.length))
    else if (event.key === "Enter") run(items[selected])
    else return
    event.preventDefault()
  }
  return (
    <Dialog.Root open onOpenChange={(open) => !open && onClose()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="fixed inset-0 z-40 bg-black/40" />
        <Dialog.Popup className="fixed top-[12vh] left-1/2 z-50 w-[min(560px,calc(100vw-24px))] -translate-x-1/2 overflow-hidden rounded-lg border bg-popover shadow-xl outline-none">
          <Dialog.Title className="sr-only">{t`Find`}</Dialog.Title>
          <input
            role="combobox"
            aria-expanded
            aria-controls={list}
            aria-activedescendant={items.length > 0 ? `${list}-${selected}` : undefined}
            aria-label={t`Find pages, records, ids and customers`}
            placeholder={t`A page, a record, an id, a customer…`}
            autoFocus
            value={text}
            onChange={(event) => {
              setText(event.target.value)
              setAt(0)
            }}
            onKeyDown={onKeyDown}
            className="h-11 w-full border-b bg-transparent px-4 text-base outline-none"
          />
          <ul id={list} role="listbox" aria-label={t`Found`} className="max-h-80 overflow-auto p-1">
            {items.map((each, index) => (
              <li
                key={each.key}
                id={`${list}-${index}`}
                role="option"
                aria-selected={index === selected}
                onMouseMove={() => setAt(index)}
                onClick={() => run(each)}
                className={cx(
                  "flex h-8 cursor-pointer items-center gap-3 rounded-sm px-3",
                  index === selected && "bg-accent",
                )}
              >
                <span className="min-w-0 truncate">{each.title}</span>
                <span className="ml-auto shrink-0 text-xs text-muted-foreground">{each.hint}</span>
              </li>
            ))}
          </ul>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  )
}

function useItems(text: string): Item[] {
  const navigate = useNavigate()
  const actions = useActions()
  const customers = useQuery({
    queryKey: ["customers", "named", text],
    staleTime: 60_000,
    enabled: text !== "",
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) =>
      answerOf(api.GET("/api/customers", { params: { query: { q: text, limit: MOST } }, signal })),
  })
  const { data: integrations } = useQuery({ ...integrationsQuery, staleTime: 60_000 })
  return useMemo(() => {
    const page = t`page`
    const found: Item[] = []
    const fits = (title: string) => title.toLowerCase().includes(text.toLowerCase())
    if (EXECUTION.test(text)) {
      const run = () => void navigate({ to: "/executions/$execution", params: { execution: text } })
      found.push({ key: text, title: text, hint: t`execution`, run })
    } else if (INSTANCE.test(text)) {
      const run = () => void navigate({ to: "/instances/$instance", params: { instance: text } })
      found.push({ key: text, title: text, hint: t`instance`, run })
    } else if (CONNECTION.test(text)) {
      const run = () => void navigate({ to: "/connections", search: { open: text } })
      found.push({ key: text, title: text, hint: t`connection`, run })
    } else if (BULK.test(text)) {
      const run = () => void navigate({ to: "/failures/bulks", search: { open: text } })
      found.push({ key: text, title: text, hint: t`bulk`, run })
    } else if (text !== "") {
      const run = () => void navigate({ to: "/executions", search: { key: text } })
      found.push({
        key: "record",
        title: t`Executions of the record “${text}”`,
        hint: t`record`,
        run,
      })
    }
    if (text.length >= SHORTEST) {
      found.push({
        key: "search",
        title: t`Search everything for “${text}”`,
        hint: t`search`,
        run: () => void navigate({ to: "/search", search: { q: text } }),
      })
    }
    const fixed: Item[] = [
      {
        key: "overview",
        title: t`Overview`,
        hint: page,
        run: () => void navigate({ to: "/overview", search: {} }),
      },
      {
        key: "executions",
        title: t`Executions`,
        hint: page,
        run: () => void navigate({ to: "/executions", search: {} }),
      },
      {
        key: "failures",
        title: t`Failures`,
        hint: page,
        run: () => void navigate({ to: "/failures", search: {} }),
      },
      {
        key: "bulks",
        title: t`Bulks: replays and dismissals of many`,
        hint: page,
        run: () => void navigate({ to: "/failures/bulks", search: {} }),
      },
      {
        key: "searching",
        title: t`Search`,
        hint: page,
        run: () => void navigate({ to: "/search", search: {} }),
      },
      {
        key: "integrations",
        title: t`Integrations`,
        hint: page,
        run: () => void navigate({ to: "/integrations", search: {} }),
      },
      {
        key: "waiting",
        title: t`Executions that wait`,
        hint: page,
        run: () => void navigate({ to: "/executions", search: { state: ["waiting"] } }),
      },
      {
        key: "instances",
        title: t`Instances`,
        hint: page,
        run: () => void navigate({ to: "/instances", search: {} }),
      },
      {
        key: "customers",
        title: t`Customers`,
        hint: page,
        run: () => void navigate({ to: "/customers", search: {} }),
      },
      {
        key: "connections",
        title: t`Connections`,
        hint: page,
        run: () => void navigate({ to: "/connections", search: {} }),
      },
      {
        key: "logs",
        title: t`Logs`,
        hint: page,
        run: () => void navigate({ to: "/activity/logs", search: {} }),
      },
      {
        key: "rejections",
        title: t`Rejected requests`,
        hint: page,
        run: () => void navigate({ to: "/activity/rejections", search: {} }),
      },
      {
        key: "schedules",
        title: t`Schedules`,
        hint: page,
        run: () => void navigate({ to: "/activity/schedules", search: {} }),
      },
      {
        key: "audit",
        title: t`Audit`,
        hint: page,
        run: () => void navigate({ to: "/activity/audit", search: {} }),
      },
      { key: "light", title: t`Light theme`, hint: t`action`, run: () => setTheme("light") },
      { key: "dark", title: t`Dark theme`, hint: t`action`, run: () => setTheme("dark") },
    ]
    const offered = actions.map((each) => ({ ...each, hint: each.hint ?? t`action` }))
    // What the page offers comes first: whoever types its words means it.
    found.unshift(...offered.filter((each) => fits(each.title)))
    found.push(...fixed.filter((each) => fits(each.title)))
    const named = text === "" ? [] : (customers.data?.items ?? []).filter((each) => fits(each.name))
    for (const each of named) {
      const run = () => void navigate({ to: "/customers/$customer", params: { customer: each.id } })
      found.push({ key: each.id, title: each.name, hint: t`customer`, run })
    }
    for (const each of text === "" ? [] : (integrations ?? [])) {
      if (!fits(each.title) && !fits(each.name)) continue
      const run = () =>
        void navigate({
          to: "/integrations/$integration",
          params: { integration: each.name },
          search: {},
        })
      found.push({ key: `integration ${each.name}`, title: each.title, hint: t`integration`, run })
    }
    return found
  }, [text, navigate, actions, customers.data, integrations])
}
