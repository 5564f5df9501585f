import type { ButtonHTMLAttributes, ReactNode } from "react"
import { LoaderCircle } from "lucide-react"
import { cx } from "./class"

type Look = "primary" | "outline" | "ghost" | "danger"

const LOOKS: Record<Look, string> = {
  primary: "bg-primary text-primary-foreground border-transparent hover:brightness-110",
  outline: "bg-card border-input text-foreground hover:bg-secondary",
  ghost: "border-transparent text-muted-foreground hover:bg-secondary hover:text-foreground",
  danger: "bg-destructive text-destructive-foreground border-transparent hover:brightness-110",
}

export type ButtonProps = ButtonHTMLAttributes<HTMLButtonElement> & {
  look?: Look
  icon?: ReactNode
  busy?: boolean
}

/** Return the class names of a button, for links and triggers that look like one. */
export function buttonClass(look: Look = "outline", square = false): string {
  return cx(
    "inline-flex h-7 shrink-0 items-center justify-center gap-1.5 rounded-md border text-sm font-medium whitespace-nowrap",
    "select-none disabled:opacity-50 [&_svg]:size-3.5 [&_svg]:shrink-0",
    square ? "w-7" : "px-2.5",
    LOOKS[look],
  )
}

export function Button({ look, icon, busy = false, className, children, ...rest }: ButtonProps) {
  return (
    <button
      type="button"
      {...rest}
      disabled={rest.disabled === true || busy}
      aria-busy={busy || undefined}
      className={cx(buttonClass(look), className)}
    >
      {busy ? <LoaderCircle aria-hidden className="animate-spin" /> : icon}
      {children}
    </button>
  )
}

/** A button that shows an icon alone; its name is for screen readers and the pointer. */
export function IconButton({
  name,
  look = "ghost",
  className,
  children,
  ...rest
}: ButtonHTMLAttributes<HTMLButtonElement> & { name: string; look?: Look }) {
  return (
    <button
      type="button"
      aria-label={name}
      title={name}
      {...rest}
      className={cx(buttonClass(look, true), className)}
    >
      {children}
    </button>
  )
}
