"""The look of a page as text: where its parts are, and their colours in both themes.

Pixels differ between machines by their fonts' anti-aliasing; boxes and computed colours do not. So a
reference is a line for each part, which a reader can review, and a difference says what moved, or which
colour is another. `LOOKS=write pytest tests/console/test_looks.py` writes the references anew.
"""

from __future__ import annotations

import re
from difflib import unified_diff
from pathlib import Path

from playwright.async_api import Page

FOLDER = Path(__file__).parent / "looks"
NEAR = 4
"""The pixels by which a box may differ: letters are not equally wide everywhere."""
FAINT = 6
"""The steps of 255 by which a channel of a colour may differ."""

COLLECT = """
(within) => {
  const FRAMES = `header, nav, main, aside, article, figure, dialog, [role=grid], [role=tree], [role=row]`
  const PARTS = `header, nav, main, aside, article, figure, dialog, [role=grid], [role=tree], h1, h2, h3,
    h4, th, dt, button, a, input, select, textarea, [role=columnheader], [role=tab], [role=treeitem]`
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true })
  const hex = (color) => {
    context.clearRect(0, 0, 1, 1)
    context.fillStyle = color
    context.fillRect(0, 0, 1, 1)
    const { data } = context.getImageData(0, 0, 1, 1)
    return [...data].map((each) => each.toString(16).padStart(2, "0")).join("")
  }
  const colours = (part) => {
    const style = getComputedStyle(part)
    const border = parseFloat(style.borderTopWidth) > 0 ? style.borderTopColor : "transparent"
    return [style.color, style.backgroundColor, border].map(hex).join(" ")
  }
  const rows = [...document.querySelectorAll("[role=row]:has([role=gridcell])")].slice(0, 2)
  const parts = [...document.querySelectorAll(PARTS)]
    .filter((part) => part.closest(within) !== null)
    .filter((part) => part.closest("[role=row]:has([role=gridcell]), li, tr:has(td)") === null)
    .filter((part) => part.querySelector("time") === null || part.matches(FRAMES))
    // Their places depend on the data.
    .filter((part) => !part.matches("a:empty, a[tabindex='-1'], [aria-label^=Copy]"))
    .filter((part) => !part.matches("header a") || !/^[0-9]/.test(part.textContent))
    .concat(rows)
  const shown = parts.filter((part) => {
    const { width, height, top, left } = part.getBoundingClientRect()
    return width > 1 && height > 1 && top < innerHeight && left < innerWidth && part.checkVisibility()
  })
  const name = (part) => part.ariaLabel ?? (part.matches(FRAMES) ? "" : part.textContent)
  const words = (text) =>
    (text ?? "")
      .replace(/\\s+/g, " ")
      .replace(/[a-z]{3}_[0-9a-z]{26}/g, "id")
      .replace(/[0-9][0-9,.]*/g, "#")
      .trim()
      .slice(0, 40)
  const whole = document.documentElement
  const themed = (isDark) => {
    whole.classList.toggle("dark", isDark)
    return shown.map(colours)
  }
  const light = themed(false)
  const dark = themed(true)
  return shown.map((part, at) => {
    const { x, y, width, height } = part.getBoundingClientRect()
    const kind = part.getAttribute("role") ?? part.localName
    const box = [x, y, width, height].map(Math.round).join(" ")
    return `${kind} "${words(name(part))}" | ${box} | ${light[at]} | ${dark[at]}`
  })
}
"""


async def style(page: Page, rules: str) -> None:
    """Add rules to a page, past its policy, which lets no style element in."""
    add = "rules => { const sheet = new CSSStyleSheet(); sheet.replaceSync(rules);"
    add += " document.adoptedStyleSheets.push(sheet) }"
    await page.evaluate(add, rules)


async def look_of(page: Page, within: str = "main") -> list[str]:
    """Return a page's parts in the order of the page: kind and name, box, colours light and dark."""
    await style(page, "* { transition: none !important; animation: none !important }")
    await page.evaluate("document.fonts.ready")
    return await page.evaluate(COLLECT, within)


def differences(expected: list[str], seen: list[str]) -> list[str]:
    """Return how a look differs from its reference, a line for each part; nothing where it does not."""
    names, others = ([each.split(" | ")[0] for each in look] for look in (expected, seen))
    if names != others:
        return [*unified_diff(names, others, "expected", "seen", lineterm="", n=1)]
    found: list[str] = []
    for one, other in zip(expected, seen, strict=True):
        if not all(map(is_near, one.split(" | ")[1:], other.split(" | ")[1:])):
            found += [f"- {one}", f"+ {other}"]
    return found


def is_near(one: str, other: str) -> bool:
    """Return whether two boxes, or the colours of two parts, are alike."""
    if re.fullmatch(r"[-\d ]+", one) and len(one.split()) == 4:
        pairs = zip(map(int, one.split()), map(int, other.split()), strict=True)
        return all(abs(a - b) <= NEAR for a, b in pairs)
    channels, others = (bytes.fromhex(each) for each in (one, other))
    return all(abs(a - b) <= FAINT for a, b in zip(channels, others, strict=True))
