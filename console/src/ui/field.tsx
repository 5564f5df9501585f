import {
  type ComponentProps,
  type InputHTMLAttributes,
  type ReactNode,
  type SelectHTMLAttributes,
  type TextareaHTMLAttributes,
  useId,
} from "react"
import { cx } from "./class"

const CONTROL =
  "w-full rounded-md border border-input bg-background text-foreground placeholder:text-muted-foreground " +
  "aria-invalid:border-destructive disabled:opacity-60"

type Said = { id: string; "aria-invalid"?: true; "aria-describedby"?: string }

/** A labelled control, with what is wrong with it, and what it means. */
export function Field({
  label,
  hint,
  error,
  children,
}: {
  label: string
  hint?: ReactNode
  error?: string | null | undefined
  children: (control: Said) => ReactNode
}) {
  const id = useId()
  const notes = [error, hint].filter((each) => each != null)
  const control: Said = { id }
  if (error != null) control["aria-invalid"] = true
  if (notes.length > 0) control["aria-describedby"] = `${id}-note`
  return (
    <div className="flex flex-col gap-1">
      <label htmlFor={id} className="text-xs font-medium">
        {label}
      </label>
      {children(control)}
      {notes.length > 0 && (
        <div id={`${id}-note`} className="text-xs">
          {error != null && <p className="text-failed-text">{error}</p>}
          {hint != null && <p className="text-muted-foreground">{hint}</p>}
        </div>
      )}
    </div>
  )
}

export function Input({ className, ...rest }: ComponentProps<"input">) {
  return <input {...rest} className={cx(CONTROL, "h-7 px-2", className)} />
}

export function Textarea({ className, ...rest }: TextareaHTMLAttributes<HTMLTextAreaElement>) {
  return (
    <textarea
      spellCheck={false}
      {...rest}
      className={cx(CONTROL, "px-2 py-1.5 font-mono text-xs", className)}
    />
  )
}

export function Select({ className, ...rest }: SelectHTMLAttributes<HTMLSelectElement>) {
  return <select {...rest} className={cx(CONTROL, "h-7 px-1.5", className)} />
}

/** A choice of one of several, or a switch: its control, a label, and what it means. */
export function Choice({
  label,
  hint,
  type = "checkbox",
  ...rest
}: InputHTMLAttributes<HTMLInputElement> & {
  label: ReactNode
  hint?: ReactNode
  type?: "checkbox" | "radio"
}) {
  const id = useId()
  return (
    <div className="flex gap-2">
      <input {...rest} id={id} type={type} className="mt-1 size-3.5 shrink-0 accent-primary" />
      <label htmlFor={id} className="min-w-0">
        {label}
        {hint !== undefined && <span className="block text-xs text-muted-foreground">{hint}</span>}
      </label>
    </div>
  )
}
