import { Link } from "@tanstack/react-router"

const EXECUTION = /(exe_[0-9a-z]{26})/

/** A text in which the executions that it names, by id, are links. */
export function Linked({ text }: { text: string }) {
  // Of a split by a group, every second part is what the group found.
  return text.split(EXECUTION).map((part, at) =>
    at % 2 === 0 ? (
      part
    ) : (
      <Link key={at} to="/executions/$execution" params={{ execution: part }} className="link">
        {part}
      </Link>
    ),
  )
}
