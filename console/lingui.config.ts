import { defineConfig } from "@lingui/cli"
import { formatter } from "@lingui/format-po"

export default defineConfig({
  sourceLocale: "en",
  locales: ["en"],
  catalogs: [{ path: "src/locales/{locale}", include: ["src"] }],
  format: formatter({ origins: false }),
  orderBy: "messageId",
  runtimeConfigModule: { i18n: ["~/phrases", "i18n"], Trans: ["~/phrases", "Trans"] },
})
