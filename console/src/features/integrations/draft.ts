import { useEffect, useState } from "react"

/** A form's state that a reload does not lose: it is in the tab's storage until it is dropped. */
export function useDraft<T>(key: string, initial: T): [T, (next: T) => void, () => void] {
  const name = `halflap-draft-${key}`
  const [value, setValue] = useState<T>(() => {
    const stored = sessionStorage.getItem(name)
    if (stored === null) return initial
    try {
      return { ...initial, ...(JSON.parse(stored) as T) }
    } catch {
      return initial
    }
  })
  useEffect(() => {
    if (value !== initial) sessionStorage.setItem(name, JSON.stringify(value))
    // eslint-disable-next-line react-hooks/exhaustive-deps -- `initial` is what it began with
  }, [name, value])
  return [value, setValue, () => sessionStorage.removeItem(name)]
}
