"""`halflap pull`: what a target has comes into a checkout, and no local edit is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from halflap.cli.pull import plan_pull
from tests.cases import for_each
from tests.cli.shell import ok, plain, refused

TEXT = """\
name: orders
flows:
  incoming:
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
      - log: one
"""


@for_each(
    ("mine", "was", "now", "does"),
    [
        (b"a", b"a", b"b", "write"),
        (b"b", b"a", b"b", "nothing"),
        (b"mine", b"a", b"a", "nothing"),
        (b"mine", b"a", b"b", "conflict"),
        (None, None, b"b", "write"),
        (b"mine", None, b"b", "conflict"),
        (b"a", b"a", None, "remove"),
        (b"mine", b"a", None, "conflict"),
        (None, b"a", b"b", "conflict"),
        (None, b"a", None, "nothing"),
    ],
)
def test_a_file_is_written_where_only_they_edited_it(
    mine: bytes | None, was: bytes | None, now: bytes | None, does: str
) -> None:
    base, there = ({} if each is None else {"f": each} for each in (was, now))
    plan = plan_pull(lambda _: mine, base, there)
    assert (plan.writes, plan.removes, plan.conflicts) == (
        {"f": now} if does == "write" else {},
        ["f"] if does == "remove" else [],
        ["f"] if does == "conflict" else [],
    )


def test_a_checkout_follows_a_target_and_keeps_what_it_edited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
        (folder / "pyproject.toml").write_text("")
        (folder / "orders.yaml").write_text(TEXT)
    here = ("--dir", str(theirs / ".halflap"))

    def deploy(text: str) -> None:
        (theirs / "orders.yaml").write_text(text)
        monkeypatch.chdir(theirs)
        ok("deploy")
        monkeypatch.chdir(ours)

    deploy(TEXT)
    assert "is here as it is there" in ok("pull", *here)
    two = TEXT.replace("one", "two")
    deploy(two)
    pulled = plain("pull", *here)
    assert pulled == {"integration": "orders", "wrote": ["orders.yaml"], "removed": []}
    assert (ours / "orders.yaml").read_text() == two
    # In a folder below, it says where the project is to which it writes.
    (ours / "below").mkdir()
    deploy(TEXT.replace("one", "two and a half"))
    monkeypatch.chdir(ours / "below")
    assert "wrote ../orders.yaml" in ok("pull", *here)
    deploy(TEXT.replace("one", "three"))
    mine = TEXT.replace("one", "mine")
    (ours / "orders.yaml").write_text(mine)
    assert "orders.yaml: edited here" in refused("pull", *here)
    assert (ours / "orders.yaml").read_text() == mine
    assert "no version of orders" in refused("pull", *here, "--from", "staging")
    monkeypatch.setenv("HALFLAP_SERVER_STAGING", "http://127.0.0.1:9")
    assert "127.0.0.1:9" in refused("pull", *here, "--from", "staging")
