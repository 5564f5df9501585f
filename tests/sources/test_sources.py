"""The part of `make demo` that shows a message from each kind of source, as the soak does.

In a commit each kind of source has tests of its own.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter

import pytest

from halflap.cli.demo.stage import Checks
from tests.sources.__main__ import report
from tests.sources.peers import Source
from tests.world import EXAMPLES
from tests.zygote import PYTHON

LEFT_OUT = {"Amazon SNS", "Mailbox (IMAP)"}
"""The kinds whose peers may not be on a machine."""


@pytest.mark.soak
def test_a_message_from_each_kind_of_source_arrives_once_though_the_server_is_killed() -> None:
    command = [PYTHON, "-m", "tests.sources", "--offline"]
    done = subprocess.run(
        command, cwd=EXAMPLES.parent, capture_output=True, text=True, check=False, timeout=170
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✗" not in done.stdout
    arrived = set(re.findall(r"✓ (.{20}) .* sent .* arrived", done.stdout))
    left_out = set(re.findall(r"– (.{20}) left out", done.stdout))
    assert {each.strip() for each in left_out} <= LEFT_OUT
    flows = (EXAMPLES / "sources.py").read_text("utf-8").count("@integration.flow(")
    assert len(arrived | left_out) == flows
    assert re.search(r"all \d+ arrived, each once", done.stdout)


async def nowhere(text: str) -> None:
    raise NotImplementedError


def test_what_is_lost_or_doubled_is_named_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    one, other = (Source(each, each, "a test", nowhere) for each in ("one", "other"))
    texts = {one: ["one-0", "one-1"], other: ["other-0", "other-1"]}
    fine, bad = Checks(), Checks()
    report(fine, texts, Counter(each for some in texts.values() for each in some))
    assert fine.close() == 0
    report(bad, texts, Counter(["one-0", "one-0", "one-1", "other-1"]))
    assert bad.close() == 1
    said = capsys.readouterr().out
    assert "✗ one: 0 lost, 1 doubled  one-0" in said
    assert "✗ other: 1 lost, 0 doubled  other-0" in said
