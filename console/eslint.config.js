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
      "no-restricted-properties": [
        "error",
        { property: "innerHTML", message: "What comes from outside is shown as text." },
      ],
    },
  },
  { files: ["**/*.js"], extends: [ts.configs.disableTypeChecked] },
)
