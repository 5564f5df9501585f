import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { queryOptions, useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { answerOf, api, type Schemas } from "~/api/client"
import { Button } from "~/ui/button"
import { Id } from "~/ui/copy"
import { Dialog } from "~/ui/dialog"
import { FactList, Section } from "~/ui/facts"
import { ErrorNotice, Loading } from "~/ui/notice"
import { Time } from "~/ui/time"
import { toast } from "~/ui/toast"

type App = Schemas["OAuthAppView"]

const appsQuery = queryOptions({
  queryKey: ["oauth-apps"],
  queryFn: ({ signal }) => answerOf(api.GET("/api/oauth-apps", { signal })),
})

const unroutedQuery = (component: string) =>
  queryOptions({
    queryKey: ["oauth-apps", component, "unrouted"],
    queryFn: ({ signal }) =>
      answerOf(
        api.GET("/api/oauth-apps/{component}/unrouted", {
          params: { path: { component }, query: { limit: 20 } },
          signal,
        }),
      ),
  })

/** The team's own OAuth apps: where each sends its events, and those that no flow took. */
export function TeamApps({ onClose }: { onClose: () => void }) {
  const apps = useQuery(appsQuery)
  return (
    <Dialog
      title={t`OAuth apps of the team`}
      onClose={onClose}
      footer={<Button onClick={onClose}>{t`Close`}</Button>}
      wide
    >
      {apps.isPending && <Loading lines={3} />}
      {apps.error !== null && <ErrorNotice error={apps.error} retry={() => void apps.refetch()} />}
      {apps.data?.length === 0 && (
        <p className="text-muted-foreground">
          <Trans>
            There is none. The first is stored by <code>halflap oauth-apps set</code>.
          </Trans>
        </p>
      )}
      {apps.data?.map((each) => (
        <TeamApp key={each.component} app={each} />
      ))}
    </Dialog>
  )
}

function TeamApp({ app }: { app: App }) {
  const events =
    app.url === null ? (
      <span className="text-muted-foreground">{t`to the URL of each flow`}</span>
    ) : (
      <Id id={app.url} />
    )
  return (
    <Section title={app.component}>
      <FactList
        facts={[
          [t`Client`, <Id key="client" id={app.client_id} />],
          [t`It sends events`, events],
          ...(app.url === null
            ? []
            : [
                [
                  t`Signing secret`,
                  app.signs ? t`stored` : t`missing: events are refused`,
                ] as const,
              ]),
        ]}
      />
      {app.url !== null && <Unrouted component={app.component} />}
    </Section>
  )
}

/** Events of an app that no flow took. */
function Unrouted({ component }: { component: string }) {
  const client = useQueryClient()
  const query = unroutedQuery(component)
  const { data, error } = useQuery(query)
  const replay = useMutation({
    mutationFn: (event: string) =>
      answerOf(
        api.POST("/api/oauth-apps/{component}/unrouted/{event}/replay", {
          params: { path: { component, event } },
        }),
      ),
    onSuccess: () => toast(t`The event is replayed`),
    onError: (error) => toast(t`It was not replayed`, error.message),
    onSettled: () => client.invalidateQueries({ queryKey: query.queryKey }),
  })
  if (error !== null) return <ErrorNotice error={error} />
  if (data === undefined || data.items.length === 0) return null
  return (
    <table className="w-full text-left [&_td]:py-1 [&_td]:pr-3 [&_th]:font-medium">
      <caption className="pb-1 text-left font-medium">{t`Events that no flow took`}</caption>
      <tbody>
        {data.items.map((each) => (
          <tr key={each.id} className="border-t align-baseline">
            <td className="whitespace-nowrap text-muted-foreground">
              <Time at={each.received_at} />
            </td>
            <td>{each.account}</td>
            <td className="text-muted-foreground">{each.reason}</td>
            <td>
              <Button
                disabled={replay.isPending}
                onClick={() => replay.mutate(each.id)}
                aria-label={t`Replay ${each.id}`}
              >
                {t`Replay`}
              </Button>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
