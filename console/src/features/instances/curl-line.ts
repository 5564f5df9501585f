import type { Schemas } from "~/api/client"

const quoted = (text: string) => `'${text.replaceAll("'", String.raw`'\''`)}'`

/** A request as a line for a shell. */
export function curlOf({ method, url, headers, body }: Schemas["ExampleRequest"]): string {
  const parts = ["curl", "-i", "-X", method, quoted(url)]
  for (const [name, value] of Object.entries(headers)) parts.push("-H", quoted(`${name}: ${value}`))
  if (body !== "") parts.push("--data-raw", quoted(body))
  return parts.join(" ")
}
