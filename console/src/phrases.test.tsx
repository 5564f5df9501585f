import { I18nProvider } from "@lingui/react"
import { Trans } from "@lingui/react/macro"
import { t } from "@lingui/core/macro"
import { renderToStaticMarkup } from "react-dom/server"
import { beforeAll, expect, test } from "vitest"
import { i18n } from "./phrases"

beforeAll(() => i18n.loadAndActivate({ locale: "en", messages: {} }))

const HOSTILE = [
  "</0>",
  "<0>",
  "<1/>",
  "<b>bold</b>",
  "{0}",
  "{name}",
  "#",
  "'{'",
  String.raw`\x41\u0042\\`,
]

test("a value is a text in a phrase, whatever is in it", () => {
  for (const name of HOSTILE) {
    const shown = renderToStaticMarkup(
      <I18nProvider i18n={i18n}>
        <Trans>
          Of <b>{name}</b> or <i>it</i>, {name}.
        </Trans>
      </I18nProvider>,
    )
    const text = name.replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("'", "&#x27;")
    expect(shown).toBe(`Of <b>${text}</b> or <i>it</i>, ${text}.`)
    expect(t`Of ${name}.`).toBe(`Of ${name}.`)
  }
})
