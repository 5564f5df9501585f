import { t } from "@lingui/core/macro"
import type { Control } from "~/features/forms/schema"

const number = (
  name: string,
  title: string,
  description: string,
  more: Partial<Control>,
): Control => ({
  name,
  title,
  description,
  required: false,
  kind: "number",
  integer: true,
  least: 0,
  most: 1_000_000,
  ...more,
})

/** The limits of a customer's executions; left blank, the server's default counts. */
export const limitControls = (): Control[] => [
  number("concurrency", t`At once`, t`How many run at one time. 0 is no limit.`, {}),
  number("rate", t`Begin in a second`, t`0 is no limit.`, { integer: false }),
  number(
    "burst",
    t`Begin at once after a rest`,
    t`Of those above; by default as many as in a second.`,
    {},
  ),
  number("backlog", t`Queued at most`, t`Further events are answered 429, and sent again later.`, {
    most: 1_000_000_000,
  }),
]

export const retentionControls = (): Control[] => [
  number(
    "execution",
    t`Days that executions are kept`,
    t`Their outcome, times, steps and log lines.`,
    {
      least: 1,
      most: 36_500,
    },
  ),
  number("payload", t`Days that payloads are kept`, t`Events, inputs and results.`, {
    least: 1,
    most: 36_500,
  }),
]

export const connectionLimitControls = (): Control[] => [
  number("rate", t`Requests in a second`, t`Over all workers. 0 is no limit.`, { integer: false }),
  number("burst", t`At once after a rest`, "", {}),
  number("concurrency", t`Under way at once`, t`Over all workers. 0 is no limit.`, {}),
]
