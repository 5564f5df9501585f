import { t } from "@lingui/core/macro"
import type { LogLine } from "~/api/execution"
import { toast } from "~/ui/toast"

export type LogFormat = "text" | "jsonl"

/** The most lines of a file, which is put together in the browser, and pages that are read for it. */
const MOST = 50_000
const MOST_PAGES = 1_000

/** Return a line of a log as text: when, how grave, of which execution if that is known, what, its fields. */
export function asTextLine(line: LogLine & { execution?: string; customer?: string }): string {
  const whose = [line.customer, line.execution].filter((each) => each !== undefined)
  const fields = line.fields === "{}" ? [] : [line.fields]
  return [
    line.at,
    line.level.padEnd(7),
    ...whose,
    line.message.replaceAll("\n", "\\n"),
    ...fields,
  ].join("  ")
}

/** Return a line of a log as the API has it, in one line of JSON whose numbers keep their digits. */
export function asJsonLine({ fields, ...line }: LogLine): string {
  return `${JSON.stringify(line).slice(0, -1)},"fields":${fields}}`
}

/** Have the browser save lines as a file, page after page of them; say so where they are too many. */
export async function saveLogs(
  name: string,
  format: LogFormat,
  pages: AsyncIterable<readonly LogLine[]>,
): Promise<void> {
  const write = format === "text" ? asTextLine : asJsonLine
  const lines: string[] = []
  let read = 0
  const isFull = () => lines.length >= MOST || read >= MOST_PAGES
  try {
    for await (const page of pages) {
      lines.push(...page.map(write))
      read += 1
      if (isFull()) break
    }
  } catch (error) {
    toast(t`The log was not downloaded`, error instanceof Error ? error.message : "")
    return
  }
  if (isFull()) {
    const most = lines.length.toLocaleString()
    toast(t`The file has the first ${most} lines`, t`Narrow the filter to have the rest.`)
  }
  const type = format === "text" ? "text/plain" : "application/jsonl"
  const url = URL.createObjectURL(
    new Blob(
      lines.map((each) => `${each}\n`),
      { type },
    ),
  )
  const link = document.createElement("a")
  link.href = url
  link.download = `${name}.${format === "text" ? "log" : "jsonl"}`
  link.click()
  URL.revokeObjectURL(url)
}
