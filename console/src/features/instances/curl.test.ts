import { expect, test } from "vitest"
import { curlOf } from "./curl-line"

test("a request is a line for a shell, whatever stands in it", () => {
  const request = {
    method: "POST",
    url: "https://a.example/hooks/ep_1?x=1&y=$HOME",
    headers: { "Content-Type": "application/json", "X-Sign": "it's" },
    body: '{"name":"O\'Hara","total":1.10}',
  }
  expect(curlOf(request)).toBe(
    "curl -i -X POST 'https://a.example/hooks/ep_1?x=1&y=$HOME' -H 'Content-Type: application/json' " +
      `-H 'X-Sign: it'\\''s' --data-raw '{"name":"O'\\''Hara","total":1.10}'`,
  )
  expect(curlOf({ ...request, method: "GET", headers: {}, body: "" })).toBe(
    "curl -i -X GET 'https://a.example/hooks/ep_1?x=1&y=$HOME'",
  )
})
