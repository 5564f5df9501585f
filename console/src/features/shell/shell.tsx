import { t } from "@lingui/core/macro"
import { Link, useLocation } from "@tanstack/react-router"
import {
  Activity,
  Blocks,
  Boxes,
  Building2,
  ChartColumn,
  CircleX,
  CloudOff,
  LogOut,
  Megaphone,
  Monitor,
  Moon,
  Plug,
  ScrollText,
  Search,
  Sun,
} from "lucide-react"
import { type ReactNode, useCallback, useEffect, useRef, useState } from "react"
import { useOnline, useSession } from "~/features/session/context"
import { Button, IconButton } from "~/ui/button"
import { cx } from "~/ui/class"
import { Mark } from "~/ui/mark"
import { Palette } from "./palette"
import { setTheme, useTheme } from "./theme"

/**
 * The frame of every page: where one can go, who is signed in, and the palette. The designer needs
 * the room: beside it the navigation is a rail of icons.
 */
export function Shell({ onSignOut, children }: { onSignOut: () => void; children: ReactNode }) {
  const [palette, setPalette] = useState(false)
  const close = useCallback(() => setPalette(false), [])
  const rail = useLocation({ select: ({ pathname }) => pathname.startsWith("/drafts/") })
  useEffect(() => {
    const open = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() === "k" && (event.metaKey || event.ctrlKey)) {
        event.preventDefault()
        setPalette((now) => !now)
      }
    }
    window.addEventListener("keydown", open)
    return () => window.removeEventListener("keydown", open)
  }, [])
  return (
    <div className="flex h-full min-h-0 flex-col md:flex-row">
      <a
        href="#main"
        className="sr-only z-50 rounded-md bg-primary px-3 py-1 text-primary-foreground focus:not-sr-only focus:fixed focus:top-2 focus:left-2"
      >
        {t`Skip to the page`}
      </a>
      <header
        data-rail={rail || undefined}
        className="group/shell flex shrink-0 flex-wrap items-center gap-2 border-b bg-sidebar px-3 py-2 md:w-50 md:flex-col md:flex-nowrap md:items-stretch md:gap-3 md:border-r md:border-b-0 md:px-2 md:py-3 md:data-rail:w-12"
      >
        <span className="flex items-center gap-2 px-1 font-semibold">
          <Mark className="size-5" />
          <span className={cx("hidden sm:inline", LABEL)}>Halflap</span>
        </span>
        <Button
          look="outline"
          icon={<Search aria-hidden />}
          onClick={() => setPalette(true)}
          className="justify-start text-muted-foreground md:group-data-rail/shell:justify-center md:group-data-rail/shell:px-0"
        >
          <span className={cx("sr-only md:not-sr-only", LABEL)}>{t`Find`}</span>
          <kbd
            aria-hidden
            className="ml-auto hidden text-xs md:inline md:group-data-rail/shell:hidden"
          >
            {shortcut()}
          </kbd>
        </Button>
        <nav
          aria-label={t`Pages`}
          className="order-last -mx-1 flex w-full min-w-0 gap-0.5 overflow-x-auto md:order-none md:mx-0 md:flex-col"
        >
          <Page to="/overview" icon={<ChartColumn aria-hidden />} title={t`Overview`} />
          <Page to="/executions" icon={<Activity aria-hidden />} title={t`Executions`} />
          <Page to="/failures" icon={<CircleX aria-hidden />} title={t`Failures`} />
          <Page to="/instances" icon={<Boxes aria-hidden />} title={t`Instances`} />
          <Page to="/customers" icon={<Building2 aria-hidden />} title={t`Customers`} />
          <Page to="/integrations" icon={<Blocks aria-hidden />} title={t`Integrations`} />
          <Page to="/connections" icon={<Plug aria-hidden />} title={t`Connections`} />
          <Page to="/event-types" icon={<Megaphone aria-hidden />} title={t`Event types`} />
          <Page
            to="/activity/logs"
            group="/activity"
            icon={<ScrollText aria-hidden />}
            title={t`Activity`}
          />
        </nav>
        <div className="ml-auto flex items-center gap-1 md:mt-auto md:ml-0 md:flex-col md:items-stretch">
          <Offline />
          <Account onSignOut={onSignOut} />
        </div>
      </header>
      <main id="main" tabIndex={-1} className="min-h-0 min-w-0 flex-1 overflow-hidden outline-none">
        {children}
      </main>
      {palette && <Palette onClose={close} />}
    </div>
  )
}

/** What a rail of icons says to screen readers only. */
const LABEL = "md:group-data-rail/shell:sr-only"

function shortcut(): string {
  return navigator.userAgent.includes("Mac") ? "⌘K" : "Ctrl K"
}

function Page({
  to,
  group = to,
  icon,
  title,
}: {
  to:
    | "/overview"
    | "/executions"
    | "/failures"
    | "/instances"
    | "/customers"
    | "/integrations"
    | "/connections"
    | "/event-types"
    | "/activity/logs"
  /** The beginning of the addresses of its pages. */
  group?: string
  icon: ReactNode
  title: string
}) {
  const within = useLocation({ select: ({ pathname }) => `${pathname}/`.startsWith(`${group}/`) })
  const link = useRef<HTMLAnchorElement>(null)
  // On a phone the pages are a row wider than the screen.
  useEffect(() => {
    if (within) link.current?.scrollIntoView({ block: "nearest", inline: "nearest" })
  }, [within])
  return (
    <Link
      ref={link}
      to={to}
      title={title}
      activeOptions={{ includeSearch: false }}
      data-status={within ? "active" : undefined}
      className="flex h-7 items-center gap-2 rounded-md px-2 text-muted-foreground hover:bg-secondary whitespace-nowrap hover:text-foreground data-[status=active]:bg-secondary data-[status=active]:font-medium data-[status=active]:text-foreground [&_svg]:size-4"
    >
      {icon}
      <span className={LABEL}>{title}</span>
    </Link>
  )
}

function Offline() {
  const online = useOnline()
  if (online) return null
  return (
    <p
      role="status"
      title={t`Not connected: what you see may be old`}
      className="flex items-center gap-2 px-2 py-1 text-xs text-waiting"
    >
      <CloudOff aria-hidden className="size-4 shrink-0" />
      <span className={LABEL}>{t`Not connected: what you see may be old`}</span>
    </p>
  )
}

function Account({ onSignOut }: { onSignOut: () => void }) {
  const { me } = useSession()
  const theme = useTheme()
  const name = me.user?.name || me.user?.email || me.label
  const next = { system: "light", light: "dark", dark: "system" } as const
  const words = { system: t`Theme: as the system`, light: t`Theme: light`, dark: t`Theme: dark` }
  return (
    <div className="flex items-center gap-1 md:group-data-rail/shell:flex-col">
      <Link
        to="/account"
        className="hidden min-w-0 flex-1 rounded-md px-2 hover:bg-secondary md:block md:group-data-rail/shell:hidden"
        title={me.user === null ? t`Your account` : `${t`Your account`}: ${me.user.email}`}
      >
        <span className="block truncate">{name}</span>
        <span className="block truncate text-xs text-muted-foreground">{me.role}</span>
      </Link>
      <IconButton name={words[theme]} onClick={() => setTheme(next[theme])}>
        {theme === "system" ? (
          <Monitor aria-hidden />
        ) : theme === "light" ? (
          <Sun aria-hidden />
        ) : (
          <Moon aria-hidden />
        )}
      </IconButton>
      <IconButton name={t`Sign out`} onClick={onSignOut}>
        <LogOut aria-hidden />
      </IconButton>
    </div>
  )
}
