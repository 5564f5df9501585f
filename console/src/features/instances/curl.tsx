import { t } from "@lingui/core/macro"
import { useMutation } from "@tanstack/react-query"
import { Terminal } from "lucide-react"
import { answerOf, api } from "~/api/client"
import { useSession } from "~/features/session/context"
import { Button } from "~/ui/button"
import { CopyButton } from "~/ui/copy"
import { FormError } from "~/ui/notice"
import { curlOf } from "./curl-line"

/** A `curl` line that sends an event to an endpoint as its sender does, once it is asked for. */
export function CurlLine({ instance, flow }: { instance: string; flow: string }) {
  const { can } = useSession()
  const example = useMutation({
    mutationFn: () =>
      answerOf(
        api.GET("/api/instances/{instance}/endpoints/{flow}/example", {
          params: { path: { instance, flow } },
        }),
      ),
  })
  if (!can("secrets")) return null
  const line = example.data === undefined ? null : curlOf(example.data)
  const signed = Object.keys(example.data?.headers ?? {}).some((each) => each !== "Content-Type")
  return (
    <div className="flex flex-col items-start gap-1">
      <Button
        look="ghost"
        className="-ml-2.5"
        icon={<Terminal aria-hidden />}
        busy={example.isPending}
        onClick={() => example.mutate()}
      >
        {line === null ? t`Show a curl line` : t`Make the curl line anew`}
      </Button>
      {line !== null && (
        <div className="flex max-w-full items-start gap-1">
          <code
            className="min-w-0 rounded-md bg-muted px-2 py-1 break-all whitespace-pre-wrap"
            aria-label={t`curl line for ${flow}`}
          >
            {line}
          </code>
          <CopyButton text={line} name={t`Copy the curl line for ${flow}`} />
        </div>
      )}
      {signed && (
        <p className="text-xs text-muted-foreground">
          {t`It is signed with the secret. Where the signature has a time, it is taken for a few minutes.`}
        </p>
      )}
      <FormError error={example.error} />
    </div>
  )
}
