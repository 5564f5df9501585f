import { t } from "@lingui/core/macro"
import { Trans } from "@lingui/react/macro"
import { useQuery } from "@tanstack/react-query"
import { Download, Lock } from "lucide-react"
import { type Excerpt, valueAddress, type ValuePart, valueQuery } from "~/api/execution"
import { buttonClass } from "~/ui/button"
import { Code } from "~/ui/json"
import { ErrorNotice, Loading } from "~/ui/notice"

const MOST = 1_000_000

/** A length in bytes as people read it. */
export function sizeOf(bytes: number): string {
  if (bytes < 1_000) return t`${bytes} bytes`
  return bytes < MOST ? `${(bytes / 1_000).toFixed(1)} KB` : `${(bytes / MOST).toFixed(1)} MB`
}

/** What stands in the place of values that one's role does not show. */
export function HiddenPayload() {
  return (
    <p className="inline-flex items-center gap-1.5 text-muted-foreground">
      <Lock aria-hidden className="size-3.5" />
      {t`Your role does not show what was sent and received.`}
    </p>
  )
}

/** A recorded value: whole where it is not too large to be read, else its beginning and a download. */
export function Value({
  execution,
  part,
  step,
  excerpt,
  label,
}: {
  execution: string
  part: ValuePart
  step?: string
  excerpt: Excerpt
  label: string
}) {
  const { text, size, cut } = excerpt
  const whole = useQuery({
    ...valueQuery(execution, part, step),
    enabled: cut && size <= MOST,
  })
  if (!cut) return <Code text={text} label={label} />
  const download = (
    <a
      href={valueAddress(execution, part, step)}
      download={`${execution}-${part}`}
      className={`${buttonClass()} self-start`}
    >
      <Download aria-hidden />
      <Trans>Download {sizeOf(size)}</Trans>
    </a>
  )
  if (size > MOST) {
    return (
      <div className="flex flex-col gap-2">
        {text !== "" && <Code text={`${text}…`} label={label} />}
        {download}
      </div>
    )
  }
  if (whole.isError) return <ErrorNotice error={whole.error} retry={() => void whole.refetch()} />
  if (whole.data === undefined) return <Loading lines={4} />
  return (
    <div className="flex flex-col gap-2">
      {whole.data === null ? (
        <p className="text-muted-foreground">{t`It is binary.`}</p>
      ) : (
        <Code text={whole.data} label={label} />
      )}
      {download}
    </div>
  )
}
