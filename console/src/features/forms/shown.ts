import { t } from "@lingui/core/macro"
import type { Control, Raw } from "./schema"

/** Return what a field was filled in with, to be read. `labels`: of choices that the app has listed. */
export function shownOf(
  control: Control | undefined,
  raw: Raw | undefined,
  labels: (name: string, raw: string) => string | undefined,
): string {
  if (control?.kind === "secret") return "••••••"
  if (typeof raw === "boolean") return raw ? t`yes` : t`no`
  if (raw === undefined || raw === "" || (Array.isArray(raw) && raw.length === 0)) return "–"
  if (typeof raw === "string") {
    const label = control?.choices?.find((each) => each.value === raw)?.label
    return (
      label ?? labels(control?.name ?? "", raw) ?? (control?.kind === "choice" ? bare(raw) : raw)
    )
  }
  if (Array.isArray(raw) && control?.kind === "mapping") {
    return (raw as [Raw, Raw][])
      .map(
        ([key, value]) =>
          `${shownOf(control.key, key, labels)} → ${shownOf(control.value, value, labels)}`,
      )
      .join(", ")
  }
  if (Array.isArray(raw) && control?.item !== undefined) {
    const { item } = control
    return raw.map((each) => shownOf({ ...item, name: control.name }, each, labels)).join(", ")
  }
  return JSON.stringify(raw)
}

/** Return a choice, which is kept as JSON, as it is. */
export function bare(raw: string): string {
  try {
    return String(JSON.parse(raw))
  } catch {
    return raw
  }
}
