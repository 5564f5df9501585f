import { expect, test } from "vitest"
import { aboutOf, whoseOf } from "./about"

test("an entry is about each thing once, by its name, and its customers are apart", () => {
  const names = { exe_1: "order 4711", ins_1: "orders", cus_1: "Initech" }
  expect(
    aboutOf({
      objects: { customer: "cus_1", execution: "exe_1", made: "blk_1", again: "exe_1" },
      names,
    }),
  ).toEqual([
    { kind: "execution", id: "exe_1", name: "order 4711" },
    { kind: "bulk", id: "blk_1", name: undefined },
  ])
  expect(whoseOf({ customers: ["cus_1", "cus_2"], names })).toEqual([
    { id: "cus_1", name: "Initech" },
    { id: "cus_2", name: undefined },
  ])
})
