/** Halflap's mark: two halves that overlap. */
export function Mark({ className }: { className?: string }) {
  return (
    <svg viewBox="0 0 32 32" aria-hidden className={className}>
      <rect width="32" height="32" rx="7" className="fill-primary" />
      <path d="M7 11h18v5H16v5H7z" fill="#fff" />
      <path d="M16 16h9v5h-9z" fill="#fff" fillOpacity="0.65" />
    </svg>
  )
}
