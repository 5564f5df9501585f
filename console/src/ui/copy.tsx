import { t } from "@lingui/core/macro"
import { Check, Copy } from "lucide-react"
import { useEffect, useState } from "react"
import { IconButton } from "./button"

/** A button that copies a text, and shows for a moment that it did. */
export function CopyButton({ text, name = t`Copy` }: { text: string; name?: string }) {
  const [done, setDone] = useState(false)
  useEffect(() => {
    if (!done) return
    const timer = setTimeout(() => setDone(false), 1_500)
    return () => clearTimeout(timer)
  }, [done])
  const copy = () => void navigator.clipboard.writeText(text).then(() => setDone(true))
  return (
    <IconButton name={done ? t`Copied` : name} onClick={copy} className="size-6">
      {done ? <Check aria-hidden className="text-succeeded" /> : <Copy aria-hidden />}
    </IconButton>
  )
}

/** An id in mono type, with a button that copies it. */
export function Id({ id, label }: { id: string; label?: string }) {
  return (
    <span className="inline-flex min-w-0 items-center gap-0.5">
      <code className="truncate" title={id}>
        {label ?? id}
      </code>
      <CopyButton text={id} name={t`Copy ${id}`} />
    </span>
  )
}
