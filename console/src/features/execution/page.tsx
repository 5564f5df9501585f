import { t } from "@lingui/core/macro"
import { useRouter } from "@tanstack/react-router"
import { ChevronLeft } from "lucide-react"
import { useState } from "react"
import { wayBack } from "~/features/shell/way-back"
import { ExecutionDetail, type PlaceProps } from "./detail"

/** The page of one execution. */
export function ExecutionPage({ id, place, onPlace }: PlaceProps & { id: string }) {
  const { history } = useRouter()
  const [{ list, search }] = useState(wayBack)
  return (
    <div className="h-full overflow-auto">
      <nav className="px-4 pt-3" aria-label={t`Way back`}>
        <button
          type="button"
          role="link"
          onClick={() => history.push(list + search)}
          className="inline-flex items-center gap-1 text-muted-foreground hover:text-foreground [&_svg]:size-4"
        >
          <ChevronLeft aria-hidden />
          {list === "/failures" ? t`Failures` : list === "/search" ? t`Search` : t`Executions`}
        </button>
      </nav>
      <ExecutionDetail key={id} id={id} place={place} onPlace={onPlace} />
    </div>
  )
}
