import { t } from "@lingui/core/macro"
import { Ear, LoaderCircle, Square } from "lucide-react"
import { useEffect, useRef, useState } from "react"
import { api, type Schemas } from "~/api/client"
import { CurlLine } from "~/features/instances/curl"
import { Copied } from "~/features/instances/endpoints"
import { Button } from "~/ui/button"
import { Field, Input } from "~/ui/field"
import type { Development } from "./development"
import { framesOf } from "./stream"

/** Waits for the next event of a flow that a customer gets: it is copied, and runs as ever. */
export function Listen({
  draft,
  flow,
  development,
  onEvent,
}: {
  draft: string
  flow: string
  /** It is offered first. */
  development: Development | undefined
  onEvent: (execution: string) => void
}) {
  const [typed, setTyped] = useState<string | null>(null)
  const own = development?.instance ?? null
  const customer = typed ?? own?.customer_name ?? ""
  const url = customer === own?.customer_name ? development?.urls[flow] : undefined
  const [state, setState] = useState<"off" | "asked" | "waiting">("off")
  const [note, setNote] = useState<string | null>(null)
  const stopping = useRef<AbortController | null>(null)
  useEffect(() => () => stopping.current?.abort(), [])
  const listen = async () => {
    stopping.current?.abort()
    const mine = new AbortController()
    stopping.current = mine
    setState("asked")
    setNote(null)
    try {
      const params = { path: { draft }, query: { flow, customer: customer.trim() } }
      const { data } = await api.GET("/api/drafts/{draft}/listen", {
        params,
        parseAs: "stream",
        signal: mine.signal,
      })
      let said = t`The connection was lost. Listen again.`
      for await (const each of framesOf(data)) {
        if (each.kind === "event") {
          const { execution } = JSON.parse(each.data) as Schemas["EventSample"]
          if (execution !== null) {
            onEvent(execution)
            said = t`It came, and is chosen.`
          }
        } else if (each.kind === "waiting") {
          setState("waiting") // from now on no event is missed
        } else if (each.kind === "end") said = t`No event came in ten minutes.`
      }
      setNote(said)
    } catch (error) {
      if (!mine.signal.aborted) setNote(error instanceof Error ? error.message : String(error))
    } finally {
      if (stopping.current === mine) setState("off")
    }
  }
  const hints = {
    off: note ?? t`By name or id.`,
    asked: t`Connecting…`,
    waiting: t`Waiting. It is copied here, and runs as ever.`,
  }
  return (
    <div className="flex flex-col gap-2">
      <div className="flex items-end gap-2">
        <div className="min-w-0 flex-1">
          <Field label={t`Or wait for the next one of a customer`} hint={hints[state]}>
            {(control) => (
              <Input
                {...control}
                value={customer}
                disabled={state !== "off"}
                autoComplete="off"
                onChange={(event) => setTyped(event.target.value)}
              />
            )}
          </Field>
        </div>
        {state !== "off" ? (
          <Button
            className="mb-5"
            icon={<Square aria-hidden />}
            onClick={() => stopping.current?.abort()}
          >
            {t`Stop`}
            <LoaderCircle aria-hidden className="animate-spin" />
          </Button>
        ) : (
          <Button
            className="mb-5"
            icon={<Ear aria-hidden />}
            disabled={customer.trim() === ""}
            onClick={() => void listen()}
          >
            {t`Listen`}
          </Button>
        )}
      </div>
      {url !== undefined && (
        <div>
          <p className="text-xs text-muted-foreground">{t`Its events are sent to:`}</p>
          <Copied text={url} label={t`URL of ${flow}`} />
          {own !== null && <CurlLine instance={own.id} flow={flow} />}
        </div>
      )}
    </div>
  )
}
