import { t } from "@lingui/core/macro"
import { Link } from "@tanstack/react-router"
import { useSession } from "~/features/session/context"

const LOOK =
  "inline-flex h-7 items-center rounded-md px-2.5 text-muted-foreground hover:bg-secondary hover:text-foreground data-[status=active]:bg-secondary data-[status=active]:font-medium data-[status=active]:text-foreground"

/** The lists of what happens beside executions, of which one is shown. */
export function ActivityTabs() {
  const { can } = useSession()
  const options = { includeSearch: false }
  return (
    <nav aria-label={t`Activity`} className="flex flex-wrap gap-0.5">
      <Link to="/activity/logs" activeOptions={options} className={LOOK}>
        {t`Logs`}
      </Link>
      <Link to="/activity/rejections" activeOptions={options} className={LOOK}>
        {t`Rejected requests`}
      </Link>
      <Link to="/activity/schedules" activeOptions={options} className={LOOK}>
        {t`Schedules`}
      </Link>
      {can("admin") && (
        <Link to="/activity/audit" activeOptions={options} className={LOOK}>
          {t`Audit`}
        </Link>
      )}
    </nav>
  )
}
