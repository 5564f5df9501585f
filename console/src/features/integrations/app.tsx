import {
  Braces,
  Clock,
  Cloud,
  Contact,
  CreditCard,
  GitBranch,
  Globe,
  Hash,
  Inbox,
  Layers,
  LifeBuoy,
  type LucideIcon,
  Mail,
  Megaphone,
  MessageSquare,
  Package,
  Power,
  ShoppingBag,
  SquareKanban,
  Webhook,
} from "lucide-react"
import { cx } from "~/ui/class"
import { componentOf, nameOf } from "./apps"

const ICONS: Record<string, LucideIcon> = {
  webhook: Webhook,
  schedule: Clock,
  http: Globe,
  salesforce: Cloud,
  github: GitBranch,
  hubspot: Contact,
  app: Package,
  jira: SquareKanban,
  kafka: Layers,
  sendgrid: Mail,
  shopify: ShoppingBag,
  slack: Hash,
  email: Mail,
  imap: Mail,
  sns: Megaphone,
  sqs: Inbox,
  stripe: CreditCard,
  twilio: MessageSquare,
  zendesk: LifeBuoy,
  instance: Power,
  code: Braces,
}

/** The tile of an app: an icon of what is built in, else its first letters. */
export function AppTile({ component, large = false }: { component: string; large?: boolean }) {
  const Icon = ICONS[componentOf(component)]
  const name = nameOf(component)
  return (
    <span
      title={name}
      className={cx(
        "inline-flex shrink-0 items-center justify-center rounded-md border bg-card font-semibold text-muted-foreground",
        large ? "size-9 text-sm [&_svg]:size-4.5" : "size-6 text-xs [&_svg]:size-3.5",
      )}
    >
      {Icon === undefined ? (
        // Drawn as an icon is: the letters are no text of what the tile stands in.
        <span
          aria-hidden
          data-letters={name.slice(0, 2)}
          className="before:content-[attr(data-letters)]"
        />
      ) : (
        <Icon aria-hidden />
      )}
      <span className="sr-only">{name}</span>
    </span>
  )
}

/** The tiles of several apps, and how many there are beside them. */
export function AppTiles({ components, most = 5 }: { components: string[]; most?: number }) {
  const apps = [...new Map(components.map((each) => [componentOf(each), each])).values()]
  return (
    <span className="inline-flex items-center gap-1">
      {apps.slice(0, most).map((each) => (
        <AppTile key={each} component={each} />
      ))}
      {apps.length > most && (
        <span className="text-xs text-muted-foreground">+{apps.length - most}</span>
      )}
    </span>
  )
}
