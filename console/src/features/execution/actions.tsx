import { t } from "@lingui/core/macro"
import { useMutation, useQueryClient } from "@tanstack/react-query"
import { useNavigate } from "@tanstack/react-router"
import { ArrowRight, Ellipsis, FlaskConical, PlugZap, Reply, RotateCcw, Square } from "lucide-react"
import { lazy, Suspense, useState } from "react"
import { answerOf, api } from "~/api/client"
import { type Execution, isOver } from "~/api/execution"
import { useSession } from "~/features/session/context"
import { Button } from "~/ui/button"
import { Menu, type MenuItem } from "~/ui/menu"
import { toast } from "~/ui/toast"
import { AnswerDialog } from "./answer"
import { CancelDialog } from "./cancel"
import { ReplayDialog } from "./replay"

const CopyAsTest = lazy(async () => ({ default: (await import("./test")).CopyAsTest }))

type Open = "replay" | "whole" | "cancel" | "answer" | "test" | null

/** Return whether an execution can be run again: it has ended, and its payload is still stored. */
export const isReplayable = (each: Pick<Execution, "state" | "payload_removed">): boolean =>
  isOver(each.state) && !each.payload_removed

/** What may be done with an execution: the one thing that helps first, all else in a menu. */
export function Actions({ execution }: { execution: Execution }) {
  const { can } = useSession()
  const [open, setOpen] = useState<Open>(null)
  const navigate = useNavigate()
  const client = useQueryClient()
  const { id, state, waiting } = execution
  const renew = () => client.invalidateQueries({ queryKey: ["execution", id] })

  const dismiss = useMutation({
    mutationFn: () =>
      api.POST("/api/executions/{execution}/dismiss", { params: { path: { execution: id } } }),
    onSuccess: () => {
      toast(t`It is off the failures`)
      void renew()
    },
    onError: (error) => toast(t`It was not dismissed`, error.message),
  })
  const connection = waiting?.reason === "connection" ? waiting.connection : null
  const signals = waiting?.signals ?? []
  const test = useMutation({
    mutationFn: (id: string) =>
      answerOf(
        api.POST("/api/connections/{connection}/test", { params: { path: { connection: id } } }),
      ),
    onSuccess: () =>
      toast(t`The app took the connection's credentials`, t`What waits for it goes on soon.`),
    onError: (error) => toast(t`The connection does not work yet`, error.message),
  })
  if (!can("operate")) return null
  const replayable = isReplayable(execution)
  const copies = replayable && can("publish") && can("payloads")

  const replay = execution.replays[0]
  const failed = state === "failed"
  const items: MenuItem[] = []
  if (replayable) {
    items.push({
      label: t`Replay from the start…`,
      icon: <RotateCcw />,
      onSelect: () => setOpen("whole"),
    })
  }
  if (failed && replayable && replay !== undefined) {
    items.push({
      label: t`Replay it again…`,
      icon: <RotateCcw />,
      onSelect: () => setOpen("replay"),
    })
  }
  if (failed && !execution.dismissed) {
    items.push({ label: t`Dismiss`, onSelect: () => dismiss.mutate() })
  }
  if (copies) {
    items.push({
      label: t`Copy as a test…`,
      icon: <FlaskConical />,
      onSelect: () => setOpen("test"),
    })
  }
  if (connection !== null) {
    items.push({ label: t`Cancel…`, icon: <Square />, onSelect: () => setOpen("cancel") })
  }

  return (
    <div className="flex shrink-0 items-center gap-2">
      {failed && replayable && replay === undefined && (
        <Button look="primary" icon={<RotateCcw aria-hidden />} onClick={() => setOpen("replay")}>
          {t`Replay`}
        </Button>
      )}
      {replay !== undefined && (
        <Button
          look={failed ? "primary" : "outline"}
          icon={<ArrowRight aria-hidden />}
          onClick={() =>
            void navigate({ to: "/executions/$execution", params: { execution: replay } })
          }
        >
          {t`Open its replay`}
        </Button>
      )}
      {connection !== null && (
        <Button
          look="primary"
          icon={<PlugZap aria-hidden />}
          busy={test.isPending}
          onClick={() => test.mutate(connection)}
        >
          {t`Test the connection`}
        </Button>
      )}
      {signals.length > 0 && (
        <Button look="primary" icon={<Reply aria-hidden />} onClick={() => setOpen("answer")}>
          {t`Answer…`}
        </Button>
      )}
      {!isOver(state) && connection === null && (
        <Button icon={<Square aria-hidden />} onClick={() => setOpen("cancel")}>
          {t`Cancel`}
        </Button>
      )}
      {items.length > 0 && (
        <Menu name={t`More actions`} items={items}>
          <Ellipsis aria-hidden />
        </Menu>
      )}
      {(open === "replay" || open === "whole") && (
        <ReplayDialog
          execution={execution}
          whole={open === "whole"}
          onClose={() => setOpen(null)}
        />
      )}
      {open === "answer" && (
        <AnswerDialog execution={execution} signals={signals} onClose={() => setOpen(null)} />
      )}
      {open === "test" && (
        <Suspense fallback={null}>
          <CopyAsTest execution={execution} onClose={() => setOpen(null)} />
        </Suspense>
      )}
      {open === "cancel" && <CancelDialog execution={execution} onClose={() => setOpen(null)} />}
    </div>
  )
}
