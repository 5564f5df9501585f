import { t } from "@lingui/core/macro"
import { keepPreviousData, useQuery } from "@tanstack/react-query"
import { useNavigate } from "@tanstack/react-router"
import { useMemo, useState } from "react"
import { answerOf, api } from "~/api/client"
import { integrationsQuery } from "~/features/integrations/queries"
import { useMayBegin } from "~/features/guide/store"
import { SHORTEST } from "~/features/search/search"
import { useSession } from "~/features/session/context"
import { Chooser } from "~/ui/chooser"
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
  const items = useItems(text.trim())
  return (
    <Chooser
      title={t`Find`}
      label={t`Find pages, records, ids and customers`}
      listLabel={t`Found`}
      placeholder={t`A page, a record, an id, a customer…`}
      text={text}
      onText={setText}
      items={items}
      onChoose={(item) => item.run()}
      onClose={onClose}
      className="top-[12vh] max-h-92 w-[min(560px,calc(100vw-24px))]"
      rowClass="h-8"
      row={(each) => (
        <>
          <span className="min-w-0 truncate">{each.title}</span>
          <span className="ml-auto shrink-0 text-xs text-muted-foreground">{each.hint}</span>
        </>
      )}
    />
  )
}

function useItems(text: string): Item[] {
  const navigate = useNavigate()
  const actions = useActions()
  const { can } = useSession()
  const mayBegin = useMayBegin()
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
    const pages = [
      ["/overview", t`Overview`],
      ["/executions", t`Executions`],
      ["/failures", t`Failures`],
      ["/failures/bulks", t`Bulks: replays and dismissals of many`],
      ["/search", t`Search`],
      ["/integrations", t`Integrations`],
      ["/instances", t`Instances`],
      ["/customers", t`Customers`],
      ["/connections", t`Connections`],
      ["/event-types", t`Event types`],
      ["/activity/logs", t`Logs`],
      ["/activity/rejections", t`Rejected requests`],
      ["/activity/schedules", t`Schedules`],
      ...(can("admin") ? [["/activity/audit", t`Audit`] as const] : []),
      ...(mayBegin ? [["/first-steps", t`First steps`] as const] : []),
    ] as const
    const fixed: Item[] = [
      ...pages.map(([to, title]) => ({
        key: to,
        title,
        hint: page,
        run: () => void navigate({ to, search: {} }),
      })),
      {
        key: "waiting",
        title: t`Executions that wait`,
        hint: page,
        run: () => void navigate({ to: "/executions", search: { state: ["waiting"] } }),
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
  }, [text, navigate, actions, can, mayBegin, customers.data, integrations])
}
