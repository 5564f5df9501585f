import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { Ban, CircleCheck, CirclePause, Hourglass, type LucideIcon, RotateCw } from "lucide-react"
import { answerOf, api, type Schemas } from "~/api/client"
import { listenersQuery } from "~/api/instances"
import { useSession } from "~/features/session/context"
import { Badge, type Tone } from "~/ui/badge"
import { Button } from "~/ui/button"
import { Section } from "~/ui/facts"
import { FormError } from "~/ui/notice"
import { Time } from "~/ui/time"

type Listener = Schemas["ListenerView"]

/** The sources that an instance's flows listen to; nothing where none does. */
export function Listeners({ instance }: { instance: string }) {
  const { data, error } = useQuery(listenersQuery(instance))
  if (error === null && (data === undefined || data.length === 0)) return null
  return (
    <Section title={t`Listeners`}>
      <ul className="flex flex-col divide-y rounded-md border empty:hidden">
        {data?.map((each) => (
          <OneListener
            key={`${each.flow} ${each.shard} ${each.owner ?? ""}`}
            listener={each}
            instance={instance}
          />
        ))}
      </ul>
      <FormError error={error} />
    </Section>
  )
}

function OneListener({ listener, instance }: { listener: Listener; instance: string }) {
  const { can } = useSession()
  return (
    <li className="flex flex-col gap-0.5 px-3 py-2">
      <div className="flex flex-wrap items-center gap-2">
        <span className="font-medium">{listener.flow}</span>
        {listener.shard !== "" && <code className="text-muted-foreground">{listener.shard}</code>}
        <ListenerBadge listener={listener} />
        <span className="ml-auto text-muted-foreground">
          {listener.last_message_at === null ? (
            t`no message yet`
          ) : (
            <Trans>
              last message <Time at={listener.last_message_at} />
            </Trans>
          )}
        </span>
      </div>
      {listener.position !== null && (
        <p className="truncate text-muted-foreground">{t`Read up to ${listener.position}`}</p>
      )}
      {listener.error !== "" && <p className="text-failed-text">{listener.error}</p>}
      {listener.state === "stopped" && can("operate") && (
        <Decide listener={listener} instance={instance} />
      )}
      {listener.gaps.map((each) => (
        <p key={each.at} className="text-waiting">
          <Trans>
            <Time at={each.at} />: what followed {each.cursor} was gone ({each.reason}); it reads on
            from {each.start}
          </Trans>
        </p>
      ))}
    </li>
  )
}

/** From where a stopped listener reads on, for a person to decide. */
function Decide({ listener, instance }: { listener: Listener; instance: string }) {
  const client = useQueryClient()
  const decide = useMutation({
    mutationFn: (start: "earliest" | "latest" | "cursor") =>
      answerOf(
        api.POST("/api/instances/{instance}/listeners/{flow}", {
          params: { path: { instance, flow: listener.flow } },
          body: { start, shard: listener.shard },
        }),
      ),
    onSettled: () => client.invalidateQueries({ queryKey: ["instances", "one", instance] }),
  })
  const busy = decide.isPending
  return (
    <div role="group" aria-label={t`Read on`} className="flex flex-wrap items-center gap-2 py-1">
      <span>{t`Read on:`}</span>
      <Button busy={busy} onClick={() => decide.mutate("earliest")}>
        {t`with all that is still there`}
      </Button>
      <Button busy={busy} onClick={() => decide.mutate("latest")}>
        {t`with what comes from now on`}
      </Button>
      <Button busy={busy} onClick={() => decide.mutate("cursor")}>
        {t`where it stopped, once more`}
      </Button>
      <FormError error={decide.error} />
    </div>
  )
}

/** Marks an instance of which listeners stand still, with why; it leads to them. */
export function HaltedListeners({ instance, halted }: { instance: string; halted: Listener[] }) {
  const [first] = halted
  if (first === undefined) return null
  const { icon, word, title } = looksOf(first)
  return (
    <Link
      to="/instances/$instance"
      params={{ instance }}
      search={{ view: "endpoints" }}
      tabIndex={-1}
      title={[first.flow, first.error || title].join(": ")}
    >
      <Badge tone="bad" icon={icon}>
        {halted.length === 1 ? t`listener ${word}` : t`${halted.length} listeners halted`}
      </Badge>
    </Link>
  )
}

/** The state of a listener, or that nobody reads it. */
export function ListenerBadge({ listener }: { listener: Listener }) {
  const { tone, icon, word, title } = looksOf(listener)
  return (
    <Badge tone={tone} icon={icon} title={title}>
      {word}
    </Badge>
  )
}

function looksOf(listener: Listener): {
  tone: Tone
  icon: LucideIcon
  word: string
  title: string
} {
  if (listener.owner === null)
    return {
      tone: "off",
      icon: CirclePause,
      word: t`not read`,
      title: t`No process reads it: it is paused, or its instance is disabled`,
    }
  switch (listener.state) {
    case "listening":
      return { tone: "good", icon: CircleCheck, word: t`listening`, title: t`It reads what comes` }
    case "retrying":
      return { tone: "warn", icon: RotateCw, word: t`retrying`, title: t`It is opened again soon` }
    case "parked":
      return {
        tone: "bad",
        icon: CirclePause,
        word: t`parked`,
        title: t`It goes on once its connection is mended`,
      }
    case "stopped":
      return {
        tone: "bad",
        icon: Ban,
        word: t`stopped`,
        title: t`A person decides where it reads on`,
      }
    case "ended":
      return { tone: "off", icon: Ban, word: t`ended`, title: t`The source has it no more` }
    case "starting":
      return { tone: "busy", icon: Hourglass, word: t`starting`, title: t`It is being opened` }
  }
}
