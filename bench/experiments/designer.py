"""Measure how soon the designer paints an edit, and how soon findings follow, in headless Chromium.

    python -m bench.experiments.designer --edits 60

A draft with a flow of 300 steps (actions, branches, loops) is opened, and edited by keys: a step is
duplicated, moved, deleted, brought back by undo, and its title typed; then a field is typed in a step of
80 fields. From the time stamp of the key until the frame after the change is painted; findings until
those of the edit's revision, or a later one, are painted. Beside it, in the same browser, a page with
nothing but a counter.

With `--profile FILE`, the processor profile of the flow's page is written there, for Chromium's tools.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright, expect

from tests.console.conftest import CHROMIUM, FLAGS
from tests.console.place import Place, running

STEPS = 300
FIELDS = 80
EMPTY = "<p>0</p><script>onkeydown = () => document.querySelector('p').textContent++</script>"
WATCH = """
addEventListener("keydown", (event) => { window.began = event.timeStamp }, true)
const painted = () => new Promise((resolve) => requestAnimationFrame(() => {
  const { port1, port2 } = new MessageChannel()
  port1.onmessage = () => resolve(performance.now())
  port2.postMessage(null)
}))
/** Return the milliseconds from the next key until the paint after which a reading is another one. */
window.paintOf = (read) => {
  window.began = undefined
  const before = read()
  window.took = new Promise((resolve) => {
    const look = () => {
      if (window.began === undefined || read() === before) return
      seen.disconnect()
      removeEventListener("input", look)
      painted().then((at) => resolve(at - window.began))
    }
    const seen = new MutationObserver(look)
    seen.observe(document, {subtree: true, childList: true, attributes: true, characterData: true})
    addEventListener("input", look)
  })
}
window.revisions = []
window.found = []
/** Return the milliseconds from the last key until the findings of the edit that it made are painted. */
window.findingsSince = (before) => new Promise((resolve) => {
  const look = () => {
    const at = found.find((each) => each.revision >= revisions.at(-1))?.at
    if (revisions.length > before && at !== undefined) return resolve(at - window.began)
    window.told = look
  }
  look()
})
const real = window.fetch
window.fetch = async (...given) => {
  const answer = await real(...given)
  const url = given[0] instanceof Request ? given[0].url : String(given[0])
  if (/\\/(edits|undo|redo)$|\\/findings$/.test(url) && answer.ok) {
    void answer.clone().json().then(async ({ revision }) => {
      if (url.endsWith("/findings")) window.found.push({ revision, at: await painted() })
      else window.revisions.push(revision)
      window.told?.()
    })
  }
  return answer
}
"""
READ_SIZE = "() => document.querySelector('[data-drawing] > div').style.height"
READ_PLACE = (
    "() => document.querySelector('[role=treeitem][aria-selected=true]')?.ariaPosInSet ?? ''"
)
READ_TYPED = "() => document.activeElement.value ?? document.activeElement.textContent"


def draft(name: str) -> str:
    """Return a document with a flow of 300 steps, and a step of 80 fields in another one."""
    lines = [f"name: {name}", "config:", "  Connect:", "    shop: {connection: http}", "flows:"]
    lines += ["  long:", "    trigger: webhook.request", "    steps:"]
    for at in range(STEPS // 6):
        lines += [
            f"      - title: Find the customer {at}",
            f"        id: buyer{at}",
            "        action: http.get",
            "        with: {path: ='/customers/' & event.customer}",
            f"      - title: Is it a large one {at}?",
            f"        if: =event.total > {at} and buyer{at}.name = 'Ada'",
            "        then:",
            f"          - log: ='a large one ' & event.number & ' of {at}'",
            "        else:",
            f"          - log: another {at}",
            f"      - for: line{at}",
            "        in: =event.lines",
            "        do:",
            "          - action: http.post",
            f"            with: {{path: /lines, json: {{item: =line{at}.item}}}}",
        ]
    lines += ["  wide:", "    trigger: webhook.request", "    steps:", "      - title: Wide"]
    lines += [
        "        action: http.post",
        "        with:",
        "          path: /wide",
        "          json:",
    ]
    lines += [f"            field_{at}: ='of ' & event.field_{at}" for at in range(FIELDS)]
    return "\n".join(lines) + "\n"


@dataclass
class Taken:
    """The milliseconds of the edits of a kind: until its paint, and until its findings'."""

    paints: list[float] = field(default_factory=list[float])
    findings: list[float] = field(default_factory=list[float])


async def press(page: Page, keys: str, read: str) -> float:
    """Press keys; return the milliseconds until what is read is another one, and painted."""
    await page.evaluate(f"paintOf({read})")
    await page.keyboard.press(keys)
    return await page.evaluate("took")


async def edit(page: Page, keys: str, read: str, into: Taken) -> None:
    """Edit by keys, and wait for the findings of the revision that it makes."""
    before = await page.evaluate("revisions.length")
    into.paints.append(await press(page, keys, read))
    into.findings.append(await page.evaluate(f"findingsSince({before})"))


async def edit_flow(page: Page, edits: int, taken: dict[str, Taken]) -> None:
    """Edit the flow of 300 steps, in the middle of it."""
    row = page.get_by_role("treeitem", selected=True)
    tree = page.get_by_role("tree")
    await tree.get_by_role("treeitem").nth(3).focus()
    await tree.get_by_role("treeitem").nth(3).click()
    for _ in range(40):
        await page.keyboard.press("ArrowDown")
    await row.focus()
    for _ in range(edits // 6):
        # A step of the flow's own, with others around it.
        while await row.get_attribute("aria-level") != "2":
            await page.keyboard.press("ArrowDown")
        await edit(page, "Control+d", READ_SIZE, taken["duplicate"])
        await edit(page, "Alt+ArrowUp", READ_PLACE, taken["move"])
        await edit(page, "Delete", READ_SIZE, taken["delete"])
        await edit(page, "Control+z", READ_SIZE, taken["undo"])
        await edit(page, "Delete", READ_SIZE, taken["delete"])
        await page.keyboard.press("F2")
        await expect(page.get_by_label("Title", exact=True)).to_be_focused()
        for each in "abc":
            taken["type"].paints.append(await press(page, each, READ_TYPED))
        await page.wait_for_timeout(800)
        await row.focus()


async def edit_fields(page: Page, edits: int, taken: Taken) -> None:
    """Type in a field of a step of 80."""
    await page.get_by_role("treeitem", name="Wide").last.click()
    box = page.get_by_role("complementary").get_by_role("textbox")
    await box.nth(FIELDS // 2).wait_for()
    await box.nth(FIELDS // 2).click()
    await page.keyboard.press("End")
    for _ in range(edits // 2):
        taken.paints.append(await press(page, "x", READ_TYPED))
        await page.wait_for_timeout(60)
    await page.wait_for_timeout(2_000)


def line(name: str, times: list[float]) -> str:
    """Return a row of the table."""
    if not times:
        return f"{name:28} {'':>5} -"
    p95 = statistics.quantiles(times, n=20, method="inclusive")[-1] if len(times) > 1 else times[0]
    return f"{name:28} {len(times):5} {statistics.median(times):8.0f} {p95:8.0f} {max(times):8.0f}"


async def measure(place: Place, browser: Browser, edits: int, profile: Path | None) -> None:
    """Print the percentiles of each kind of edit."""
    made = await place.api("POST", "/drafts", {"integration": "long", "text": draft("long")})
    view: Any = {"width": 1600, "height": 1000}
    empty = await browser.new_page(viewport=view)
    await empty.add_init_script(WATCH)
    await empty.goto("data:text/html," + EMPTY)
    baseline = [
        await press(empty, "a", "() => document.querySelector('p').textContent")
        for _ in range(edits)
    ]
    await empty.close()
    page = await browser.new_page(viewport=view, base_url=place.url, bypass_csp=True)
    await page.add_init_script(WATCH)
    page.set_default_timeout(60_000)
    await page.goto(await place.link())
    await page.wait_for_url("**/console/overview")
    await page.goto(f"/console/drafts/{made['id']}")
    await page.get_by_role("treeitem").first.wait_for()
    tool = await page.context.new_cdp_session(page)
    kinds = ("duplicate", "move", "delete", "undo", "type")
    taken = {each: Taken() for each in kinds}
    wide = Taken()
    if profile is not None:
        await tool.send("Profiler.enable")
        await tool.send("Profiler.start")
    await edit_flow(page, edits, taken)
    if profile is not None:
        profile.write_text(json.dumps((await tool.send("Profiler.stop"))["profile"]))
    await page.goto(f"/console/drafts/{made['id']}?flow=wide")
    await edit_fields(page, edits, wide)
    foreseen = [t for name in ("duplicate", "move", "delete") for t in taken[name].paints]
    print(f"load {os.getloadavg()[0]:.1f}; milliseconds")
    print(f"{'':28} {'count':>5} {'p50':>8} {'p95':>8} {'max':>8}")
    print(line("an empty page", baseline))
    for name in kinds:
        print(line(f"{name}, painted", taken[name].paints))
    print(line("structure, painted", foreseen))
    print(line(f"type, step of {FIELDS} fields", wide.paints))
    print(line("findings, painted", [t for each in taken.values() for t in each.findings]))


async def main(arguments: argparse.Namespace) -> None:
    """Run a server and a browser, and measure."""
    profile = None if arguments.profile is None else Path(arguments.profile)
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder)) as place, async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=CHROMIUM, args=list(FLAGS), chromium_sandbox=False
            )
            await measure(place, browser, arguments.edits, profile)
            await browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=60)
    parser.add_argument("--profile")
    asyncio.run(main(parser.parse_args()))
