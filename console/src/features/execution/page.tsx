import { t } from "@lingui/core/macro"
import { Link } from "@tanstack/react-router"
import { ChevronLeft } from "lucide-react"
import { ExecutionDetail, type PlaceProps } from "./detail"

/** The page of one execution. */
export function ExecutionPage({ id, place, onPlace }: PlaceProps & { id: string }) {
  return (
    <div className="h-full overflow-auto">
      <nav className="px-4 pt-3" aria-label={t`Way back`}>
        <Link
          to="/executions"
          search={{}}
          className="inline-flex items-center gap-1 text-muted-foreground hover:text-foreground [&_svg]:size-4"
        >
          <ChevronLeft aria-hidden />
          {t`Executions`}
        </Link>
      </nav>
      <ExecutionDetail key={id} id={id} place={place} onPlace={onPlace} />
    </div>
  )
}
