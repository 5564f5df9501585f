import { t } from "@lingui/core/macro"
import { Plural, Trans } from "@lingui/react/macro"
import { useQuery } from "@tanstack/react-query"
import { useState } from "react"
import { answerOf, api } from "~/api/client"
import { type Receiver, recoveryQuery } from "~/api/receivers"
import { Confirm } from "~/ui/confirm"
import { Field, Select } from "~/ui/field"
import { Pending } from "~/ui/notice"
import { Time } from "~/ui/time"
import { toast } from "~/ui/toast"

const HOUR = 3_600_000

/** Deliver again what a receiver has not taken: it says before what it will send. */
export function Recover({ receiver, onClose }: { receiver: Receiver; onClose: () => void }) {
  const [now] = useState(() => Date.now())
  const [hours, setHours] = useState(72)
  const since = new Date(now - hours * HOUR).toISOString()
  const plan = useQuery(recoveryQuery(receiver.id, since))
  const found = plan.data
  return (
    <Confirm
      title={t`Recover what ${receiver.name} missed`}
      verb={found === undefined ? t`Send again` : t`Send ${found.sent.toLocaleString()} again`}
      able={receiver.enabled && found !== undefined && found.sent > 0}
      onConfirm={async () => {
        const params = { path: { receiver: receiver.id } }
        const { total } = await answerOf(
          api.POST("/api/receivers/{receiver}/recover", { params, body: { since } }),
        )
        const count = total.toLocaleString()
        toast(t`Sending again: ${count}`, t`Its deliveries say how it goes.`)
      }}
      onClose={onClose}
    >
      <Field label={t`What was not taken in the last`}>
        {(control) => (
          <Select
            {...control}
            value={hours}
            onChange={(event) => setHours(Number(event.target.value))}
          >
            <option value={1}>{t`hour`}</option>
            <option value={24}>{t`day`}</option>
            <option value={72}>{t`3 days`}</option>
            <option value={168}>{t`7 days`}</option>
            <option value={720}>{t`30 days`}</option>
          </Select>
        )}
      </Field>
      {found === undefined ? (
        <Pending of={plan} lines={2} />
      ) : (
        <div role="status" className="flex flex-col gap-1">
          <p>
            <Plural
              value={found.sent}
              _0="There is nothing to be sent again."
              one="# event is sent again, with the same id."
              other="# events are sent again, each with the same id."
            />{" "}
            {!found.is_exact && t`Those that were taken since are left out, and may be fewer.`}
          </p>
          {found.missed > found.sent && (
            <p className="text-muted-foreground">
              <Plural
                value={found.missed - found.sent}
                one="# more was taken since, or is on its way."
                other="# more were taken since, or are on their way."
              />
            </p>
          )}
          {found.waiting > 0 && (
            <p className="text-muted-foreground">
              <Plural
                value={found.waiting}
                one="# waits for its next try, and is sent by itself then."
                other="# wait for their next try, and are sent by themselves then."
              />{" "}
              {found.next_try_at !== null && (
                <Trans>
                  The next one: <Time at={found.next_try_at} />.
                </Trans>
              )}
            </p>
          )}
          {!receiver.enabled && (
            <p className="text-waiting">{t`It is disabled, and would be sent nothing: enable it first.`}</p>
          )}
        </div>
      )}
    </Confirm>
  )
}
