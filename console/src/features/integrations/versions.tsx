import { t } from "@lingui/core/macro"
import { Plural, Trans } from "@lingui/react/macro"
import { useMutation, useQueryClient } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { GitCompare, MoreHorizontal } from "lucide-react"
import { Fragment, useState } from "react"
import { answerOf, api } from "~/api/client"
import { useBegin } from "~/features/designer/frame/drafts"
import { useSession } from "~/features/session/context"
import { Button } from "~/ui/button"
import { cx } from "~/ui/class"
import { Dialog } from "~/ui/dialog"
import { Id } from "~/ui/copy"
import { FormError } from "~/ui/notice"
import { Menu } from "~/ui/menu"
import { Time } from "~/ui/time"
import { toast } from "~/ui/toast"
import type { Integration, Version } from "./queries"

const OFFERED = "offered"
/** The letters, or lines, from which on a note is shown in part. */
const LONG = 240
const LINES = 3

/** The versions, newest first: who made each and when, who has it, where it is offered. */
export function Versions({
  integration,
  onCompare,
  onUpgrade,
}: {
  integration: Integration
  onCompare: (from: number, to: number) => void
  onUpgrade: (version: number) => void
}) {
  const { can } = useSession()
  const begin = useBegin()
  const [offer, setOffer] = useState<Version | "withdraw" | null>(null)
  const { versions, targets, instances } = integration
  const cell = "px-2 py-1.5 align-top sm:px-3"
  const head = `${cell} text-left text-xs font-normal text-muted-foreground`
  return (
    <div className="overflow-x-auto rounded-md border">
      <table aria-label={t`Versions`} className="w-full border-collapse">
        <thead>
          <tr className="border-b">
            <th className={head}>{t`Version`}</th>
            <th className={head}>{t`Note`}</th>
            <th className={`${head} hidden sm:table-cell`}>{t`Published`}</th>
            <th className={`${head} hidden lg:table-cell`}>{t`Hash`}</th>
            <th className={`${head} text-right`}>{t`Instances`}</th>
            <th className={head}>
              <span className="sr-only">{t`Actions`}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {versions.map((each, at) => {
            const count = instances[each.hash] ?? 0
            const before = versions[at + 1]
            const named = Object.entries(targets).filter(([, hash]) => hash === each.hash)
            const offered = named.some(([target]) => target === OFFERED)
            return (
              <tr
                key={each.hash}
                className="border-b border-border/60 last:border-0 hover:bg-muted"
              >
                <th scope="row" className={`${cell} text-left font-medium sm:whitespace-nowrap`}>
                  <span className="figures">{each.number}</span>
                  {named.map(([target]) => (
                    <Fragment key={target}>
                      {" "}
                      <span className="ml-1 rounded-sm border px-1.5 text-xs font-normal text-muted-foreground">
                        {target === OFFERED ? t`offered to customers` : target}
                      </span>
                    </Fragment>
                  ))}
                </th>
                <td className={`${cell} w-full`}>
                  <Note text={each.note} />
                  <div className="text-muted-foreground sm:hidden">
                    <Published version={each} />
                  </div>
                </td>
                <td className={`${cell} hidden min-w-40 text-muted-foreground sm:table-cell`}>
                  <Published version={each} />
                </td>
                <td className={`${cell} hidden text-muted-foreground lg:table-cell`}>
                  <Id id={each.hash} label={each.hash.slice(0, 12)} />
                </td>
                <td className={`${cell} figures text-right`}>
                  {count === 0 ? (
                    <span className="text-muted-foreground">0</span>
                  ) : (
                    <Link
                      to="/instances"
                      search={{ integration: integration.name, version: String(each.number) }}
                      className="link"
                      title={t`Show them`}
                    >
                      {count.toLocaleString()}
                    </Link>
                  )}
                </td>
                <td className={`${cell} text-right whitespace-nowrap`}>
                  {before !== undefined && (
                    <Button
                      look="ghost"
                      icon={<GitCompare aria-hidden />}
                      onClick={() => onCompare(before.number, each.number)}
                    >
                      <span className="max-sm:sr-only">
                        <Trans>Compare with {before.number}</Trans>
                      </span>
                    </Button>
                  )}
                  {can("configure") && (
                    <Menu
                      name={t`Actions for version ${each.number}`}
                      items={[
                        {
                          label: t`Edit it as a draft`,
                          disabled: !can("publish"),
                          onSelect: () =>
                            begin.mutate(
                              { integration: integration.name, version: String(each.number) },
                              { onError: (error) => toast(t`No draft was begun`, error.message) },
                            ),
                        },
                        {
                          label: t`Upgrade instances to it…`,
                          onSelect: () => onUpgrade(each.number),
                        },
                        offered
                          ? {
                              label: t`Offer it no longer…`,
                              onSelect: () => setOffer("withdraw"),
                            }
                          : {
                              label: t`Offer it to customers…`,
                              onSelect: () => setOffer(each),
                            },
                      ]}
                    >
                      <MoreHorizontal aria-hidden />
                    </Menu>
                  )}
                </td>
              </tr>
            )
          })}
        </tbody>
      </table>
      {offer !== null && (
        <OfferDialog integration={integration} offer={offer} onClose={() => setOffer(null)} />
      )}
    </div>
  )
}

/** What was published, and why: of a long note the first lines, and the rest when it is wanted. */
function Note({ text }: { text: string }) {
  const [open, setOpen] = useState(false)
  const isLong = text.length > LONG || text.split("\n").length > LINES
  return (
    <>
      <p className={cx("wrap-anywhere whitespace-pre-line", isLong && !open && "line-clamp-3")}>
        {text}
      </p>
      {isLong && (
        <button
          type="button"
          aria-expanded={open}
          className="link text-xs"
          onClick={() => setOpen(!open)}
        >
          {open ? t`Show less` : t`Show the whole note`}
        </button>
      )}
    </>
  )
}

/** When a version was published, and by whom. */
function Published({ version }: { version: Version }) {
  return (
    <>
      <Time at={version.published_at} distance />
      {version.published_by !== "" && (
        <span className="block wrap-anywhere">{version.published_by}</span>
      )}
    </>
  )
}

function OfferDialog({
  integration,
  offer,
  onClose,
}: {
  integration: Integration
  offer: Version | "withdraw"
  onClose: () => void
}) {
  const client = useQueryClient()
  const now = integration.versions.find((each) => each.hash === integration.targets[OFFERED])
  const path = { integration: integration.name }
  const change = useMutation({
    mutationFn: async () => {
      if (offer === "withdraw") {
        await api.DELETE("/api/integrations/{integration}/offer", { params: { path } })
      } else {
        await answerOf(
          api.PUT("/api/integrations/{integration}/offer", {
            params: { path },
            body: { version: offer.hash },
          }),
        )
      }
    },
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: ["integrations"] })
      onClose()
    },
  })
  return (
    <Dialog
      title={offer === "withdraw" ? t`Offer it no longer` : t`Offer version ${offer.number}`}
      onClose={onClose}
      onSubmit={() => change.mutate()}
      footer={
        <>
          <Button onClick={onClose}>{t`Cancel`}</Button>
          <Button
            type="submit"
            look={offer === "withdraw" ? "danger" : "primary"}
            busy={change.isPending}
          >
            {offer === "withdraw" ? t`Withdraw` : t`Offer`}
          </Button>
        </>
      }
    >
      <p>
        {offer === "withdraw"
          ? t`Customers cannot activate ${integration.title} by themselves any more. What is activated stays.`
          : t`Customers may activate ${integration.title} at this version by themselves, and at no other.`}
      </p>
      {offer !== "withdraw" && now !== undefined && (
        <p className="text-muted-foreground">
          <Plural
            value={now.number}
            one="It replaces version #, which is offered now; what is activated stays on it."
            other="It replaces version #, which is offered now; what is activated stays on it."
          />
        </p>
      )}
      <FormError error={change.error} />
    </Dialog>
  )
}
