import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { answerOf, api } from "~/api/client"
import { parseExact } from "~/api/exact"
import type { Instance } from "~/api/instances"
import { useRows } from "~/api/list"
import { Button } from "~/ui/button"
import { Code } from "~/ui/json"
import { Pending } from "~/ui/notice"
import { Time } from "~/ui/time"

type Revision = { number: number; made_at: string; config: string; payload_hidden: boolean }

const CONFIG = new Set(["config"])

/** The former configs of an instance, newest first; executions keep the one that they began with. */
export function Revisions({ instance }: { instance: Instance }) {
  const list = useRows(["instances", "one", instance.id, "revisions"], async (before, signal) => {
    const query = before === undefined ? {} : { before: Number(before) }
    const params = { path: { instance: instance.id }, query }
    const text = await answerOf(
      api.GET("/api/instances/{instance}/revisions", { params, signal, parseAs: "text" }),
    )
    const page = parseExact(text, CONFIG) as {
      items: Revision[]
      next: number | null
    }
    return { items: page.items, next: page.next === null ? null : String(page.next) }
  })
  if (list.rows === undefined) return <Pending of={list} lines={3} />
  return (
    <div className="flex flex-col gap-4">
      {list.rows.map((each) => (
        <section key={each.number} className="flex flex-col gap-1">
          <h3 className="flex gap-2 font-medium">
            <Trans>Revision {each.number}</Trans>
            <span className="font-normal text-muted-foreground">
              <Time at={each.made_at} />
              {each.number === instance.revision && t` · in use`}
            </span>
          </h3>
          {each.payload_hidden ? (
            <p className="text-muted-foreground">{t`hidden from your role`}</p>
          ) : (
            <Code text={each.config} label={t`Config of revision ${each.number}`} />
          )}
        </section>
      ))}
      <div>
        <Button look="ghost" onClick={list.more}>
          {t`Earlier ones`}
        </Button>
      </div>
    </div>
  )
}
