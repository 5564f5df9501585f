import { msg } from "@lingui/core/macro"
import type { MessageDescriptor } from "@lingui/core"
import { useLingui } from "@lingui/react"
import {
  ArrowUp,
  Check,
  CircleDashed,
  CirclePause,
  FlaskConical,
  type LucideIcon,
  Play,
  PowerOff,
  RotateCw,
  Settings2,
  X,
} from "lucide-react"
import type { InstanceState, InstanceSummary } from "~/api/instances"
import { Badge, type Tone } from "~/ui/badge"

const LOOKS: Record<InstanceState, { icon: LucideIcon; word: MessageDescriptor; tone: Tone }> = {
  configured: { icon: Settings2, word: msg`configured`, tone: "quiet" },
  activating: { icon: Play, word: msg`activating`, tone: "busy" },
  active: { icon: Check, word: msg`active`, tone: "good" },
  upgrading: { icon: ArrowUp, word: msg`upgrading`, tone: "busy" },
  disabling: { icon: PowerOff, word: msg`disabling`, tone: "busy" },
  disabled: { icon: CircleDashed, word: msg`disabled`, tone: "off" },
  failed: { icon: X, word: msg`failed`, tone: "bad" },
}

/** The state of an instance; in its place that it is paused, or a receiver's trouble, where it is active. */
export function InstanceBadge({
  state,
  paused = false,
  trouble = null,
}: {
  state: InstanceState
  paused?: boolean
  trouble?: InstanceSummary["trouble"]
}) {
  const { _ } = useLingui()
  if (trouble === "disabled") return <InstanceBadge state="disabled" />
  if (trouble === "failing") {
    return (
      <Badge tone="warn" icon={RotateCw} title={_(msg`It did not take the last event.`)}>
        {_(msg`failing`)}
      </Badge>
    )
  }
  if (paused && state === "active") {
    return (
      <Badge tone="warn" icon={CirclePause}>
        {_(msg`paused`)}
      </Badge>
    )
  }
  const { icon, word, tone } = LOOKS[state]
  return (
    <Badge tone={tone} icon={icon}>
      {_(word)}
    </Badge>
  )
}

/** Marks the customer that has the development instances, and these. */
export function DevelopmentBadge() {
  const { _ } = useLingui()
  return (
    <Badge
      tone="off"
      icon={FlaskConical}
      title={_(msg`Drafts run with it: it is no customer of yours`)}
    >
      {_(msg`development`)}
    </Badge>
  )
}

/** The word of a state, for texts. */
export function useStateWord(): (state: InstanceState) => string {
  const { _ } = useLingui()
  return (state) => _(LOOKS[state].word)
}
