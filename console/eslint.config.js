import hooks from "eslint-plugin-react-hooks"
import { defineConfig, globalIgnores } from "eslint/config"
import ts from "typescript-eslint"

export default defineConfig(
  globalIgnores(["src/api/schema.d.ts", "node_modules"]),
  ts.configs.strictTypeChecked,
  hooks.configs.flat["recommended-latest"],
  {
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "react-hooks/incompatible-library": "off",
      "@typescript-eslint/no-confusing-void-expression": "off",
      "@typescript-eslint/only-throw-error": "off", // the router's redirects are thrown
      "no-restricted-syntax": [
        "error",
        {
          selector: "JSXAttribute[name.name='dangerouslySetInnerHTML']",
          message: "What comes from outside is shown as text.",
        },
      ],
      "no-restricted-imports": [
        "error",
        {
          name: "@lingui/core",
          importNames: ["i18n"],
          message: "That of ~/phrases keeps values as they are.",
        },
        {
          name: "@lingui/react",
          importNames: ["Trans"],
          message: "Its macro shows values as texts.",
        },
      ],
      "no-restricted-properties": [
        "error",
        { property: "innerHTML", message: "What comes from outside is shown as text." },
      ],
    },
  },
  { files: ["src/phrases.tsx"], rules: { "no-restricted-imports": "off" } },
  { files: ["**/*.js"], extends: [ts.configs.disableTypeChecked] },
)
