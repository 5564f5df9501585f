import { readdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { brotliCompress, gzip } from "node:zlib"
import { lingui } from "@lingui/vite-plugin"
import tailwindcss from "@tailwindcss/vite"
import react from "@vitejs/plugin-react"
import type { Plugin } from "vite"
import { defineConfig } from "vitest/config"

const server = process.env["HALFLAP_URL"] ?? "http://127.0.0.1:8400"
const target = fileURLToPath(new URL("../halflap/console/static", import.meta.url))

/** Write each asset that is text in two compressed forms beside it, so that none is made per request. */
function compressed(): Plugin {
  return {
    name: "compressed",
    apply: "build",
    async closeBundle() {
      const folder = join(target, "assets")
      const names = (await readdir(folder)).filter((each) => /\.(js|css|svg)$/.test(each))
      await Promise.all(
        names.map(async (name) => {
          const path = join(folder, name)
          const content = await readFile(path)
          await writeFile(`${path}.br`, await promisify(brotliCompress)(content))
          await writeFile(`${path}.gz`, await promisify(gzip)(content, { level: 9 }))
        }),
      )
    },
  }
}

export default defineConfig({
  base: "/console/",
  plugins: [react(), lingui({ macroTransform: true }), tailwindcss(), compressed()],
  resolve: { alias: { "~": fileURLToPath(new URL("src", import.meta.url)) } },
  build: {
    outDir: target,
    emptyOutDir: true,
    // Every asset is a file of its own: the page's policy takes few things from data: addresses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    license: { fileName: "licenses.md" },
    chunkSizeWarningLimit: 1_000, // a test holds the first load to its limit
  },
  html: { cspNonce: "{{nonce}}" },
  // The host stays what the browser asked: the server refuses changes of other origins.
  server: { proxy: { "/api": { target: server, changeOrigin: false } } },
  test: { environment: "node", isolate: false, include: ["src/**/*.test.{ts,tsx}"] },
})
