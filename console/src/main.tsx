import "@fontsource-variable/inter/index.css"
import "@fontsource-variable/jetbrains-mono/index.css"
import "./app.css"
import { CSPProvider } from "@base-ui/react/csp-provider"
import { I18nProvider } from "@lingui/react"
import { QueryClientProvider } from "@tanstack/react-query"
import { RouterProvider } from "@tanstack/react-router"
import { StrictMode } from "react"
import { createRoot } from "react-dom/client"
import { startTheme } from "~/features/shell/theme"
import { i18n } from "~/phrases"
import { Toaster } from "~/ui/toast"
import { messages } from "./locales/en.po"
import { client, router } from "./router"

i18n.load("en", messages)
i18n.activate("en")
startTheme()

const root = document.getElementById("root")
if (root === null) throw new Error("the page has no root")
createRoot(root).render(
  <StrictMode>
    <CSPProvider disableStyleElements>
      <I18nProvider i18n={i18n}>
        <QueryClientProvider client={client}>
          <RouterProvider router={router} />
          <Toaster />
        </QueryClientProvider>
      </I18nProvider>
    </CSPProvider>
  </StrictMode>,
)
