import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useQuery } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { Blocks, PencilRuler, Plus } from "lucide-react"
import { useMemo, useState } from "react"
import { BeginDialog } from "~/features/designer/frame/drafts"
import { useSession } from "~/features/session/context"
import { useRenewal } from "~/features/session/renewal"
import { Button, buttonClass } from "~/ui/button"
import { Input } from "~/ui/field"
import { Notice, Pending } from "~/ui/notice"
import { type Column, Table } from "~/ui/table"
import { Time } from "~/ui/time"
import { AppTiles } from "./app"
import { type Integration, integrationsQuery } from "./queries"

const RENEW_MS = 5_000

/** The integrations: their newest versions, who has which, and what failed within a day. */
export function IntegrationsPage({
  q,
  onSearch,
  onOpen,
}: {
  q: string
  onSearch: (q: string) => void
  onOpen: (integration: string) => void
}) {
  const { can } = useSession()
  const [begins, setBegins] = useState(false)
  const query = useQuery(integrationsQuery)
  useRenewal(
    ["integrations"],
    RENEW_MS,
    (news) => news.kind === "changes" || isAboutInstances(news),
  )
  const columns = useMemo(() => integrationColumns(), [])
  const wanted = q.toLowerCase()
  const rows = (query.data ?? []).filter((each) =>
    `${each.name}\n${each.title}\n${each.components.join("\n")}`.toLowerCase().includes(wanted),
  )
  return (
    <section aria-label={t`Integrations`} className="flex h-full min-h-0 flex-col">
      <h1 className="px-4 pt-3 text-lg font-semibold">{t`Integrations`}</h1>
      <div className="flex items-center gap-2 px-4 py-2">
        <Input
          type="search"
          aria-label={t`Search by name or app`}
          placeholder={t`Search by name or app`}
          className="max-w-72"
          value={q}
          onChange={(event) => onSearch(event.target.value)}
        />
        <Link to="/drafts" className={buttonClass() + " ml-auto"}>
          <PencilRuler aria-hidden />
          {t`Drafts`}
        </Link>
        {can("publish") && (
          <Button icon={<Plus aria-hidden />} onClick={() => setBegins(true)}>
            {t`New integration…`}
          </Button>
        )}
      </div>
      {begins && <BeginDialog onClose={() => setBegins(false)} />}
      {query.data === undefined ? (
        <Pending of={query} />
      ) : rows.length === 0 ? (
        <Notice
          icon={<Blocks />}
          title={q === "" ? t`No integration was published yet` : t`No integration matches`}
        >
          {q === "" && (
            <Trans>
              Begin one here, or publish one from its project with <code>halflap deploy</code>.
            </Trans>
          )}
        </Notice>
      ) : (
        <Table
          label={t`Integrations`}
          rows={rows}
          columns={columns}
          idOf={(row) => row.name}
          onOpen={(row) => onOpen(row.name)}
        />
      )}
    </section>
  )
}

/** Return whether the stream tells of instances, or of what is done with many of them. */
export function isAboutInstances(news: { kind: string; topics?: string[] }): boolean {
  return (
    news.kind === "moved" &&
    (news.topics ?? []).some((each) => each === "instances" || each === "bulks")
  )
}

/** The number of instances that have some version of an integration. */
export function instancesOf(integration: Integration): number {
  return Object.values(integration.instances).reduce((sum, count) => sum + count, 0)
}

function integrationColumns(): Column<Integration>[] {
  return [
    {
      key: "title",
      title: t`Integration`,
      width: "minmax(140px, 1.6fr)",
      cell: (row) => (
        <Link
          to="/integrations/$integration"
          params={{ integration: row.name }}
          search={{}}
          className="font-medium hover:underline"
          title={row.name}
        >
          {row.title}
        </Link>
      ),
    },
    {
      key: "apps",
      title: t`Apps`,
      width: "minmax(110px, 0.8fr)",
      wide: true,
      cell: (row) => <AppTiles components={row.components} />,
    },
    {
      key: "version",
      title: t`Newest version`,
      width: "minmax(110px, 1fr)",
      cell: ({ versions: [newest] }) =>
        newest && (
          <>
            <span className="figures">{newest.number}</span>
            {newest.note !== "" && (
              <span className="text-muted-foreground" title={newest.note}>
                {" · "}
                {newest.note}
              </span>
            )}
          </>
        ),
    },
    {
      key: "published",
      title: t`Published`,
      width: "minmax(110px, 0.9fr)",
      wide: true,
      className: "text-muted-foreground",
      cell: ({ versions: [newest] }) =>
        newest && (
          <>
            <Time at={newest.published_at} distance />
            {newest.published_by !== "" && ` · ${newest.published_by}`}
          </>
        ),
    },
    {
      key: "instances",
      title: t`Instances`,
      width: "minmax(120px, 1fr)",
      cell: (row) => <ByVersion integration={row} />,
    },
    {
      key: "failed",
      title: t`Failed in 24 h`,
      width: "96px",
      end: true,
      cell: (row) =>
        row.failed_24h === 0 ? (
          <span className="text-muted-foreground">0</span>
        ) : (
          <Link
            to="/failures"
            search={{ integration: row.name, since: "24h" }}
            className="figures font-medium text-failed-text hover:underline"
          >
            {row.failed_24h.toLocaleString()}
          </Link>
        ),
    },
  ]
}

const MOST_VERSIONS = 3

/** How many instances are on which version, the newest first. */
function ByVersion({ integration }: { integration: Integration }) {
  const all = instancesOf(integration)
  const some = integration.versions.filter((each) => (integration.instances[each.hash] ?? 0) > 0)
  if (all === 0) return <span className="text-muted-foreground">{t`none`}</span>
  return (
    <span className="inline-flex items-center gap-2">
      <span className="figures font-medium">{all.toLocaleString()}</span>
      <span className="text-xs text-muted-foreground">
        {some
          .slice(0, MOST_VERSIONS)
          .map((each) => {
            const count = (integration.instances[each.hash] ?? 0).toLocaleString()
            return t`${count} on ${each.number}`
          })
          .join(", ")}
        {some.length > MOST_VERSIONS && " …"}
      </span>
    </span>
  )
}
