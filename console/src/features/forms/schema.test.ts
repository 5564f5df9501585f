import { describe, expect, it } from "vitest"
import { parseMembers } from "./json"
import {
  type Control,
  controlOf,
  controlsOf,
  findWrong,
  hiddenIn,
  fitsRaw,
  placed,
  rawOf,
  rawsOf,
  type Schema,
  textOf,
  textsOf,
  withoutSecrets,
  type Wrong,
  words,
} from "./schema"

const wrongIn = (control: Control, raw: Parameters<typeof findWrong>[1], kept?: string[]) => {
  const wrong = new Map<string, Wrong>()
  findWrong(control, raw, wrong, new Set(kept))
  return Object.fromEntries([...wrong].map(([path, each]) => [path, each.code]))
}

const decimal: Schema = {
  anyOf: [{ type: "number", minimum: 0, maximum: 100 }, { type: "string" }],
  title: "Discount (%)",
  default: "0",
}
const SALESFORCE: Schema = {
  $defs: {
    SignIn: {
      title: "HubSpotSignIn",
      description: "Sign in in a browser.\n\nMore of it.",
      properties: {
        kind: { const: "oauth2_code", type: "string" },
        client_id: { type: "string", default: "" },
        client_secret: {
          anyOf: [{ type: "string", format: "password", writeOnly: true }, { type: "null" }],
          default: null,
        },
      },
    },
    Key: {
      title: "KeyPair",
      properties: {
        kind: { const: "jwt", type: "string" },
        private_key: { type: "string", format: "password", writeOnly: true },
      },
      required: ["private_key"],
    },
  },
  properties: {
    login_url: { type: "string", pattern: "^https?://[^/?#]+/?$", title: "Login Url" },
    auth: {
      discriminator: { propertyName: "kind" },
      oneOf: [{ $ref: "#/$defs/SignIn" }, { $ref: "#/$defs/Key" }],
    },
  },
  required: ["login_url", "auth"],
}

describe("controls", () => {
  it("has a kind for each type of a config", () => {
    const kinds: [Schema, Control["kind"]][] = [
      [{ type: "string" }, "text"],
      [{ anyOf: [{ type: "string" }, { type: "null" }] }, "text"],
      [{ type: "integer" }, "number"],
      [decimal, "number"],
      [{ type: "boolean" }, "boolean"],
      [{ enum: ["a", "b"], type: "string" }, "choice"],
      [{ type: "array", items: { type: "string" } }, "list"],
      [{ type: "object", additionalProperties: { type: "string" } }, "mapping"],
      [{ type: "string", format: "cron" }, "schedule"],
      [{ type: "string", format: "time-zone" }, "time-zone"],
      [{ type: "string", format: "date" }, "date"],
      [{ type: "string", writeOnly: true, format: "password" }, "secret"],
      [{ type: "string", "x-source": { depends: [], open: false, search: true } }, "choice"],
      [{}, "json"],
    ]
    for (const [schema, kind] of kinds) expect(controlOf("field", schema, true).kind).toBe(kind)
  })

  it("speaks of fields in words, but keeps a title that somebody chose", () => {
    expect(words("base_url")).toBe("Base URL")
    expect(controlOf("base_url", { type: "string", title: "Base Url" }, true).title).toBe(
      "Base URL",
    )
    expect(controlOf("discount", decimal, false).title).toBe("Discount (%)")
  })

  it("makes a list of what an app lists, and a mapping with choices on both sides", () => {
    const source = { depends: ["pipeline"], open: false, search: false }
    const tags = controlOf(
      "tags",
      { type: "array", items: { type: "integer" }, "x-source": source },
      true,
    )
    expect([tags.kind, tags.item?.kind, tags.item?.source]).toEqual(["list", "choice", source])
    const sides = controlOf(
      "fields",
      {
        type: "object",
        propertyNames: { "x-source": source },
        additionalProperties: { type: "string" },
        "x-to": ["a", "b"],
      },
      true,
    )
    expect([sides.key?.name, sides.key?.source]).toEqual(["fields.of", source])
    expect(sides.value?.choices?.map((each) => each.label)).toEqual(["a", "b"])
  })
})

describe("what is sent", () => {
  it("keeps every digit", () => {
    const big = controlOf("id", { type: "integer" }, true)
    expect(textOf(big, "9007199254740993")).toBe("9007199254740993")
    const part = controlOf("discount", decimal, true)
    expect(textOf(part, "12.5")).toBe("12.5")
    expect(textOf(part, "0.10")).toBe('"0.10"')
    const read = parseMembers('{"id":9007199254740993,"name":"x"}', ["id", "name"])
    expect(rawOf(big, read["id"])).toBe("9007199254740993")
    expect(read["name"]).toBe("x")
  })

  it("leaves out what is blank, or clears it", () => {
    const controls = controlsOf({
      properties: { a: { type: "string" }, b: { type: "string" }, c: { type: "boolean" } },
    })
    expect(textsOf(controls, { a: "x", b: " ", c: true })).toBe('{"a":"x","c":true}')
    expect(textsOf(controls, { a: "x", b: "" }, { clear: true })).toBe(
      '{"a":"x","b":null,"c":null}',
    )
  })

  it("sends the variant that is chosen", () => {
    const controls = controlsOf(SALESFORCE)
    const raws = rawsOf(controls, { login_url: "https://a.example" })
    expect(textsOf(controls, raws)).toBe(
      '{"login_url":"https://a.example","auth":{"kind":"oauth2_code"}}',
    )
    const other = { ...raws, auth: { kind: "jwt", private_key: "pem" } }
    expect(textsOf(controls, other)).toContain('"auth":{"kind":"jwt","private_key":"pem"}')
    expect(withoutSecrets(controls, other)["auth"]).toEqual({ kind: "jwt" })
  })

  it("sends lists and mappings as they are", () => {
    const list = controlOf("to", { type: "array", items: { type: "string" } }, true)
    expect(textOf(list, ["a", "b"])).toBe('["a","b"]')
    const map = controlOf("m", { type: "object", additionalProperties: { type: "string" } }, true)
    expect(rawOf(map, { a: "b" })).toEqual([["a", "b"]])
    expect(textOf(map, [["a", "b"]])).toBe('{"a":"b"}')
  })
})

describe("what is wrong", () => {
  it("is said of each field", () => {
    const cases: [Schema, string, string | undefined][] = [
      [{ type: "string" }, "", "missing"],
      [{ type: "integer" }, "1.5", "integer"],
      [{ type: "integer" }, "x", "number"],
      [decimal, "101", "most"],
      [decimal, "-1", "least"],
      [{ type: "string", pattern: "^https?://\\S+$" }, "a.example", "url"],
      [{ type: "string", maxLength: 2 }, "abc", "longest"],
      [{ type: "string", format: "cron" }, "every day", "schedule"],
      [{ type: "string", format: "cron" }, "0 8 * * 1-5", undefined],
      [{}, "{", "json"],
    ]
    for (const [schema, raw, code] of cases) {
      expect(wrongIn({ ...controlOf("f", schema, true) }, raw)["f"]).toBe(
        schema.default === undefined || raw !== "" ? code : undefined,
      )
    }
  })

  it("is nothing where a secret is kept, and found within a variant", () => {
    const [, auth] = controlsOf(SALESFORCE)
    expect(auth?.variants?.[0]?.title).toBe("Sign in")
    const raw = { kind: "jwt", private_key: "" }
    expect(wrongIn(auth as Control, raw)).toEqual({ "auth.private_key": "missing" })
    expect(wrongIn(auth as Control, raw, ["auth.private_key"])).toEqual({})
  })

  it("tells of a mapping that has a key twice", () => {
    const map = controlOf("m", { type: "object", additionalProperties: { type: "string" } }, true)
    expect(
      wrongIn(map, [
        ["a", "b"],
        ["a", "c"],
      ]),
    ).toEqual({ "m.1.of": "twice" })
  })

  it("comes to the field that the API names, or to the nearest above it", () => {
    const controls = controlsOf(SALESFORCE)
    const raws = rawsOf(controls)
    const fields = {
      "auth.client_id": "is missing",
      "auth.token_url": "is wrong",
      name: "is taken",
    }
    expect(Object.fromEntries(placed(fields, controls, raws))).toEqual({
      "auth.client_id": "is missing",
      auth: "is wrong",
      "": "is taken",
    })
  })
})

it("a schema that has itself within is JSON there, and a form around it", () => {
  const node = {
    type: "object",
    properties: {
      name: { type: "string" },
      next: { anyOf: [{ $ref: "#/$defs/Node" }, { type: "null" }] },
      all: { type: "array", items: { $ref: "#/$defs/Node" } },
      other: { $ref: "#/$defs/Leaf" },
    },
  }
  const leaf = { type: "object", properties: { node: { $ref: "#/$defs/Node" } } }
  const $defs = { Node: node, Leaf: leaf, Self: { $ref: "#/$defs/Self" } } as Record<string, Schema>
  const made = controlOf("tree", { $ref: "#/$defs/Node", $defs }, true)
  expect(made.fields?.map((each) => [each.name, each.kind])).toEqual([
    ["name", "text"],
    ["next", "json"],
    ["all", "json"],
    ["other", "group"],
  ])
  expect(made.fields?.[3]?.fields?.[0]?.kind).toBe("json")
  expect(controlOf("self", { $ref: "#/$defs/Self", $defs }, true).kind).toBe("json")
  const way = (tag: string, to: Schema): Schema => ({
    type: "object",
    properties: { kind: { const: tag }, to },
  })
  const ways = {
    One: way("one", { oneOf: [{ $ref: "#/$defs/One" }, { $ref: "#/$defs/Two" }] }),
    Two: way("two", { type: "string" }),
  }
  const union = { oneOf: [{ $ref: "#/$defs/One" }, { $ref: "#/$defs/Two" }], $defs: ways }
  const variants = controlOf("way", union, true).variants
  expect(variants?.map((each) => each.fields.map((field) => field.kind))).toEqual([
    ["json"],
    ["text"],
  ])
})

it("what was typed in another version of a form is taken where its kind is the same", () => {
  const control = (schema: Schema) => controlOf("field", schema, false)
  const text = control({ type: "string" })
  const list = control({ type: "array", items: { type: "string" } })
  const group = control({
    type: "object",
    properties: { name: { type: "string" }, key: { type: "string", writeOnly: true } },
  })
  expect([fitsRaw(text, "a"), fitsRaw(text, ["a"]), fitsRaw(text, true)]).toEqual([
    true,
    false,
    false,
  ])
  expect([fitsRaw(list, ["a"]), fitsRaw(list, "a"), fitsRaw(list, [true])]).toEqual([
    true,
    false,
    false,
  ])
  expect([fitsRaw(group, { name: "a" }), fitsRaw(group, { name: [] }), fitsRaw(group, [])]).toEqual(
    [true, false, false],
  )
})

it("a field is shown where others have its values, and not below a hidden one", () => {
  const controls = controlsOf({
    properties: {
      mode: { type: "string", enum: ["all", "some"], default: "all" },
      dry: { type: "boolean" },
      kinds: { type: "array", items: { type: "string", enum: ["a", "b"] } },
      count: { type: "integer" },
      tag: { anyOf: [{ type: "string" }, { type: "null" }], "x-when": { mode: ["some"] } },
      why: { type: "string", "x-when": { tag: ["vip", "old"], dry: [true] } },
      both: { type: "string", "x-when": { kinds: ["b"], count: [2] } },
      other: { type: "string", "x-when": { elsewhere: ["x"] } },
    },
  })
  const hidden = (values: object) => [...hiddenIn(controls, rawsOf(controls, values))]
  expect(hidden({})).toEqual(["tag", "why", "both"])
  expect(hidden({ mode: "some", tag: "vip", kinds: ["a", "b"], count: 2 })).toEqual(["why"])
  expect(hidden({ mode: "some", tag: "old", dry: true, kinds: ["b"] })).toEqual(["both"])
  expect(hidden({ mode: "all", tag: "vip", dry: true, kinds: ["b"], count: 2 })).toEqual([
    "tag",
    "why",
  ])
})

it("a choice that has to be made, and can be made in one way alone, is made", () => {
  const one: Schema = { type: "string", enum: ["a"] }
  expect(rawOf(controlOf("f", one, true))).toBe('"a"')
  expect(rawOf(controlOf("f", one, false))).toBe("")
  expect(rawOf(controlOf("f", { ...one, enum: ["a", "b"] }, true))).toBe("")
})
