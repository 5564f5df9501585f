import { t } from "@lingui/core/macro"
import { useMemo, useState } from "react"
import { layOut, pretty, type Token } from "~/api/exact"
import { Button } from "./button"
import { cx } from "./class"
import { CopyButton } from "./copy"

const COLOURED = 20_000
const FIRST = 20_000
const COLOURS: Record<Token["kind"], string> = {
  key: "text-code-key",
  text: "text-code-text",
  number: "text-code-number",
  word: "text-code-number",
  mark: "text-muted-foreground",
  space: "",
}

/** A text from outside, laid out where it is JSON, with its digits as they came. */
export function Code({
  text,
  label,
  className,
}: {
  text: string
  label: string
  className?: string
}) {
  const [whole, setWhole] = useState(false)
  const tokens = useMemo(() => (text.length <= COLOURED ? layOut(text) : null), [text])
  const laid = useMemo(() => (tokens === null ? pretty(text) : null), [tokens, text])
  const cut = laid !== null && laid.length > FIRST && !whole
  return (
    <div className={cx("relative min-w-0 rounded-md border bg-muted", className)}>
      <div className="absolute top-1 right-1">
        <CopyButton text={text} name={t`Copy ${label}`} />
      </div>
      <pre
        tabIndex={0}
        aria-label={label}
        className="overflow-x-auto px-3 py-2 pr-9 break-words whitespace-pre-wrap"
      >
        {tokens === null
          ? laid?.slice(0, cut ? FIRST : undefined)
          : tokens.map((each, at) => (
              <span key={at} className={COLOURS[each.kind]}>
                {each.text}
              </span>
            ))}
      </pre>
      {cut && (
        <Button look="ghost" className="m-1" onClick={() => setWhole(true)}>
          {t`Show all of it`}
        </Button>
      )}
    </div>
  )
}
