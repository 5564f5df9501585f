"""Lint of hostile and broken documents: findings in time, and never a traceback."""

from __future__ import annotations

import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from halflap.lowcode import Components
from halflap.lowcode.lint import Shapes, lint_text
from halflap.sdk.lint import Finding
from tests.cases import for_each
from tests.lowcode.documents import EXAMPLES, own
from tests.lowcode.test_lint import HEAD, documents

TEXTS = sorted(documents().items())
SHAPES = Shapes(Components(own))
SOON = 8.0
"""Seconds of CPU: about eight times what the slowest takes."""
PIECES = (
    "=", "==", "=$", "=a.b[", "={", "&a ", "*a", "<<: *a", "[", "]", "{", "}", ": ", "- ", " #",
    "\t", '"', "'", "|", "\n", "\x00", "\u2028", "\ud800", "null", "1e999999", "0x10",
    "if: =x\n", "steps:", "id: event", "action: .", "action: acme.", "action: a.b.c",
    "break: true", "stop: true", "for: x", "code: import os", "with: {1: 2}", "!!str ",
    "connection: acme", "config: 3", "? ", "---\n", "%YAML 1.1\n", "=secrets", "=config.*",
    "=$$", "=%", "=**", "=urls[0]",
)  # fmt: skip


def linted(text: str) -> list[Finding]:
    """The findings; on any machine they come soon, as work that grows with the square would not."""
    before = time.process_time()
    found = lint_text(text.encode("utf-8", "surrogatepass"), "f.yaml", SHAPES)
    assert time.process_time() - before < SOON
    lines = text.count("\n") + text.count("\r") + text.count("\u2028") + 2
    for each in found:
        assert each.file == "f.yaml"
        assert 1 <= each.line <= lines
        assert each.column >= 1
        assert each.message
        str(each)
    return found


@st.composite
def broken(draw: st.DrawFn) -> str:
    """A document with some of it cut out, put in, doubled or moved."""
    text = draw(st.sampled_from(TEXTS))[1]
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        end = min(len(text), at + draw(st.sampled_from((0, 1, 5, 40))))
        piece = draw(st.sampled_from(PIECES) | st.just(text[at:end]) | st.text(max_size=5))
        text = text[:at] + piece + text[end:]
    return text


@given(broken())
def test_a_broken_document_has_findings_and_no_traceback(text: str) -> None:
    linted(text)


@given(st.sampled_from(TEXTS), st.floats(0, 1))
def test_a_document_that_is_cut_off_has_findings_and_no_traceback(
    document: tuple[str, str], part: float
) -> None:
    linted(document[1][: int(len(document[1]) * part)])


@given(st.text(alphabet="abevnt.config[](){}$=&|?:,\"'*%^~>#@<-+/ 012\n\\`", max_size=40))
def test_any_expression_is_read_or_refused(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    linted(HEAD + f'      - log: "={quoted}"\n')


HOSTILE = {
    "deep": HEAD + "      - log: " + "[" * 5_000,
    "deep steps": HEAD
    + "".join(f"{' ' * (6 + 4 * at)}- if: =a\n{' ' * (8 + 4 * at)}then:\n" for at in range(60)),
    "deep brackets": HEAD + "      - log: =" + "(" * 5_000,
    "a long expression": HEAD + "      - log: =" + "a+" * 100_000 + "a\n",
    "many findings": HEAD + "      - {log: =a.b}\n" * 8_000,
    "many names": HEAD
    + "".join(f"      - {{id: n{at}, state: get, key: k}}\n" for at in range(4_000)),
    "huge": "a" * 2_000_000,
    "aliases": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in pairwise("abcdefghij")),
    "a circle": "a: &a [*a]\n",
    "half a pair": HEAD + '      - log: "\\ud800"\n',
    "not UTF-8": "\ud800",
}  # fmt: skip


@for_each("name", HOSTILE)
def test_a_hostile_document_ends_in_findings(name: str) -> None:
    assert linted(HOSTILE[name])


def test_the_examples_that_are_broken_here_are_sound_before() -> None:
    assert (EXAMPLES / "salesforce_acme.yaml").name in dict(TEXTS)
    assert not [each for _, text in TEXTS for each in linted(text) if each.severity == "error"]
