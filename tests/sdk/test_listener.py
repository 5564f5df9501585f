"""A listener's messages: the identity by which a second delivery is known."""

from __future__ import annotations

import itertools
from typing import Any

from halflap.sdk.listener import Message


def test_two_messages_have_one_identity_only_where_id_and_version_are_the_same() -> None:
    texts = ["", "a", "a@b", "b@c", "c", "b", "1@a@b", "\x001@a@b", "\0", "\0\0", "@"]
    ids = list(itertools.product(texts[1:], [None, *texts]))
    found = {Message(b"", id=id, version=version).identity for id, version in ids}
    assert len(found) == len(ids)
    assert Message(b"", id="a").identity == "a"
    assert Message(b"", version="a").identity is None


def test_an_empty_id_is_none_and_a_number_is_one() -> None:
    number: Any = 7
    assert Message(b"", id="").identity is None
    assert Message(b"", id="", version="a").identity is None
    assert Message(b"", id=number).identity == "7"
    number = 0
    assert (
        Message(b"", id=number, version="a").identity == Message(b"", id="0", version="a").identity
    )
