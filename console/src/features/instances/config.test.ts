import { expect, test } from "vitest"
import type { Form } from "~/api/instances"
import { askedOf } from "./config"

const field = (name: string, value: object, required = false) => ({
  name,
  title: name,
  description: "",
  required,
  connection: null,
  value,
})
const pages = (...fields: object[]) =>
  [{ title: "Settings", description: "", fields }] as unknown as Form["pages"]

test("an upgrade asks for fields that are new, or another kind of value, not for other words", () => {
  const was = pages(
    field("label", { type: "string", title: "Label" }),
    field("limit", { type: "integer" }),
    field("gone", { type: "string" }),
  )
  const next = pages(
    field("label", { type: "string", title: "Another title" }),
    field("limit", { type: "integer", maximum: 10 }),
    field("region", { type: "string" }, true),
  )
  expect(askedOf(next, was)).toEqual(["limit", "region"])
})
