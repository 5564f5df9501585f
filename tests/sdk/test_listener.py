"""A listener's messages: the identity by which a second delivery is known."""

from __future__ import annotations

import itertools

from halflap.sdk.listener import Message


def test_two_messages_have_one_identity_only_where_id_and_version_are_the_same() -> None:
    texts = ["", "a", "a@b", "b@c", "c", "b", "1@a@b", "\x001@a@b", "\0", "\0\0", "@"]
    ids = list(itertools.product(texts, [None, *texts]))
    found = {Message(b"", id=id, version=version).identity for id, version in ids}
    assert len(found) == len(ids)
    assert Message(b"", id="a").identity == "a"
    assert Message(b"", version="a").identity is None
