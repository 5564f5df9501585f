import { expect, test } from "vitest"
import { type Column, restOf } from "./table"

type Row = { name: string; why: string; count: number }

test("a narrow row has every column that it has no place for, but for empty ones", () => {
  const columns: Column<Row>[] = [
    { key: "name", title: "Name", width: "1fr", cell: (row) => row.name },
    { key: "why", title: "Why", width: "1fr", wide: true, cell: (row) => row.why },
    {
      key: "count",
      title: "Count",
      width: "1fr",
      wide: "most",
      cell: (row) => row.count > 0 && row.count,
    },
  ]
  const rest = (row: Row) => restOf(row, columns).map(([{ title }, shown]) => [title, shown])
  expect(rest({ name: "a", why: "no", count: 2 })).toEqual([
    ["Why", "no"],
    ["Count", 2],
  ])
  expect(rest({ name: "a", why: "", count: 0 })).toEqual([])
})
