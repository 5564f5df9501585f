import { useSyncExternalStore } from "react"

export type Theme = "system" | "light" | "dark"

const KEY = "halflap-theme"
const system = window.matchMedia("(prefers-color-scheme: dark)")
const listeners = new Set<() => void>()

export function theme(): Theme {
  const stored = localStorage.getItem(KEY)
  return stored === "light" || stored === "dark" ? stored : "system"
}

function apply(): void {
  const dark = theme() === "dark" || (theme() === "system" && system.matches)
  document.documentElement.classList.toggle("dark", dark)
}

/** Follow the reader's choice of a theme, else the system's. */
export function startTheme(): void {
  apply()
  system.addEventListener("change", apply)
}

export function setTheme(next: Theme): void {
  if (next === "system") localStorage.removeItem(KEY)
  else localStorage.setItem(KEY, next)
  apply()
  for (const each of listeners) each()
}

export function useTheme(): Theme {
  return useSyncExternalStore((listener) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  }, theme)
}
