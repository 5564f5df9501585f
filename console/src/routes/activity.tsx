import { createRoute, lazyRouteComponent, redirect } from "@tanstack/react-router"
import {
  type AuditFilter,
  LEVELS,
  type LogFilter,
  type RejectionFilter,
  type ScheduleFilter,
} from "~/api/activity"
import { given, listSearch, texts, useListPlace } from "./list"
import { shellRoute } from "./shell"

const LogsPage = lazyRouteComponent(() => import("~/features/activity/logs"), "LogsPage")
const RejectionsPage = lazyRouteComponent(
  () => import("~/features/activity/rejections"),
  "RejectionsPage",
)
const SchedulesPage = lazyRouteComponent(
  () => import("~/features/activity/schedules"),
  "SchedulesPage",
)
const AuditPage = lazyRouteComponent(() => import("~/features/activity/audit"), "AuditPage")

type Search = Record<string, unknown>
const readLogs = (search: Search): LogFilter =>
  given({
    ...texts(search, ["q", "customer", "integration", "flow", "instance", "since", "until"]),
    level: LEVELS.find((each) => each === search["level"]),
  })
const readRejections = (search: Search): RejectionFilter =>
  texts(search, ["q", "customer", "integration", "status", "instance"])
const readSchedules = (search: Search): ScheduleFilter => texts(search, ["customer", "integration"])
const readAudit = (search: Search): AuditFilter =>
  texts(search, ["actor", "operation", "on", "customer", "since", "until"])

const activityRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/activity",
  beforeLoad: () => {
    throw redirect({ to: "/activity/logs", search: {} })
  },
})

const logsRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/activity/logs",
  validateSearch: listSearch(readLogs),
  component: function Logs() {
    return <LogsPage {...useListPlace(readLogs)} />
  },
})

const rejectionsRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/activity/rejections",
  validateSearch: listSearch(readRejections),
  component: function Rejections() {
    return <RejectionsPage {...useListPlace(readRejections)} />
  },
})

const schedulesRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/activity/schedules",
  validateSearch: listSearch(readSchedules),
  component: function Schedules() {
    return <SchedulesPage {...useListPlace(readSchedules)} />
  },
})

const auditRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/activity/audit",
  validateSearch: listSearch(readAudit),
  component: function Audit() {
    return <AuditPage {...useListPlace(readAudit)} />
  },
})

export const activityRoutes = [
  activityRoute,
  logsRoute,
  rejectionsRoute,
  schedulesRoute,
  auditRoute,
] as const
