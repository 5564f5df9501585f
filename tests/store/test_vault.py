import base64
import os
import stat
from pathlib import Path

import pytest

from halflap.errors import StoreError
from halflap.store.vault import Vault, key_id
from tests.cases import for_each

PLACE = ("cus_1", "con_1", "api_key")
K1, K2 = bytes(range(32)), bytes(range(32, 64))


@pytest.fixture
def vault() -> Vault:
    return Vault({"k1": K1}, "k1")


@for_each("secret", ["sk_live_4eC39HqLyjWDarjtT1zdp7dc", "", "pässwörd 🔑", "x" * 9000])
def test_a_secret_opens_where_it_was_sealed(vault: Vault, secret: str):
    assert vault.open(vault.seal(secret, PLACE), PLACE) == secret


@for_each(
    "elsewhere",
    [
        ("cus_2", "con_1", "api_key"),
        ("cus_1", "con_2", "api_key"),
        ("cus_1", "con_1", "password"),
        ("cus_1", "con_1"),
        ("cus_1", "con_1", "api_key", "k1"),
        ("cus_1|con_1", "api_key"),
        ("con_1", "cus_1", "api_key"),
    ],
)
def test_an_envelope_moved_to_another_place_does_not_open(vault: Vault, elsewhere: tuple[str, ...]):
    envelope = vault.seal("secret", PLACE)
    with pytest.raises(StoreError, match="moved from another place"):
        vault.open(envelope, elsewhere)


def test_separators_inside_names_do_not_make_two_places_one(vault: Vault):
    envelope = vault.seal("secret", ("a|b", "c", "d"))
    for other in [("a", "b|c", "d"), ("a%7Cb", "c", "d"), ("a", "b", "c|d")]:
        with pytest.raises(StoreError):
            vault.open(envelope, other)
    assert vault.open(envelope, ("a|b", "c", "d")) == "secret"


def test_every_flipped_bit_and_every_cut_is_noticed(vault: Vault):
    envelope = vault.seal("secret", PLACE)
    for position in range(len(envelope)):
        for bit in range(8):
            changed = bytearray(envelope)
            changed[position] ^= 1 << bit
            with pytest.raises(StoreError):
                vault.open(bytes(changed), PLACE)
    for length in range(len(envelope)):
        with pytest.raises(StoreError):
            vault.open(envelope[:length], PLACE)
    with pytest.raises(StoreError):
        vault.open(envelope + b"\0", PLACE)


def test_parts_of_two_envelopes_of_one_place_do_not_fit_together(vault: Vault):
    first, second = vault.seal("first!", PLACE), vault.seal("second", PLACE)
    head = 2 + len("k1") + 12 + 48
    with pytest.raises(StoreError):
        vault.open(first[:head] + second[head:], PLACE)


def test_an_envelope_holds_neither_the_secret_nor_its_place_nor_a_key(vault: Vault):
    envelope = vault.seal("a secret that stands out", PLACE)
    assert len(envelope) == 2 + 2 + 12 + 48 + 12 + len("a secret that stands out") + 16
    for text in (b"stands out", b"cus_1", b"con_1", b"api_key", K1):
        assert text not in envelope


def test_no_nonce_and_no_wrapped_key_comes_twice(vault: Vault):
    envelopes = [vault.seal("same", PLACE) for _ in range(2000)]
    wrap_nonces = {envelope[4:16] for envelope in envelopes}
    nonces = {envelope[64:76] for envelope in envelopes}
    assert len(wrap_nonces | nonces) == 4000
    assert len({envelope[16:64] for envelope in envelopes}) == 2000


def test_after_a_rotation_old_envelopes_open_and_the_old_key_can_go():
    old = Vault({"k1": K1}, "k1").seal("secret", PLACE)
    both = Vault.from_text(f"k2:{base64.b64encode(K2).decode()},k1:{base64.b64encode(K1).decode()}")
    assert both.current == "k2"
    assert both.open(old, PLACE) == "secret"
    new = both.rewrap(old, PLACE)
    assert (key_id(old), key_id(new)) == ("k1", "k2")
    assert both.rewrap(new, PLACE) == new
    only_new = Vault({"k2": K2}, "k2")
    assert only_new.open(new, PLACE) == "secret"
    with pytest.raises(StoreError, match=r"master key 'k1', which is not among 'k2'"):
        only_new.open(old, PLACE)


def test_an_envelope_is_not_rewrapped_for_another_place():
    old = Vault({"k1": K1}, "k1").seal("secret", PLACE)
    both = Vault({"k1": K1, "k2": K2}, "k2")
    with pytest.raises(StoreError):
        both.rewrap(old, ("cus_2", "con_1", "api_key"))


def test_another_key_of_the_same_name_opens_nothing(vault: Vault):
    with pytest.raises(StoreError, match="sealed with another key of that name") as caught:
        Vault({"k1": K2}, "k1").open(vault.seal("secret", PLACE), PLACE)
    assert "cus_1 / con_1 / api_key" in caught.value.message


def test_a_key_id_cannot_be_exchanged_for_another_of_the_same_key():
    vault = Vault({"k1": K1, "k2": K1}, "k1")
    envelope = vault.seal("secret", PLACE)
    with pytest.raises(StoreError):
        vault.open(envelope.replace(b"k1", b"k2", 1), PLACE)


def test_a_missing_key_file_is_created_for_its_owner_only_and_used_again(tmp_path: Path):
    path = tmp_path / "keys"
    before = os.umask(0)
    try:
        vault = Vault.from_file(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys"]
    assert Vault.from_file(path).open(vault.seal("secret", PLACE), PLACE) == "secret"


def test_two_stores_keys_have_different_names(tmp_path: Path):
    first, second = Vault.from_file(tmp_path / "a"), Vault.from_file(tmp_path / "b")
    with pytest.raises(StoreError, match="not among"):
        second.open(first.seal("secret", PLACE), PLACE)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_key_file_that_others_may_use_is_refused(tmp_path: Path, mode: int):
    path = tmp_path / "keys"
    Vault.from_file(path)
    path.chmod(mode)
    with pytest.raises(StoreError, match=f"chmod 600 {path}"):
        Vault.from_file(path)


def test_a_key_file_without_a_directory_says_what_to_name(tmp_path: Path):
    with pytest.raises(StoreError, match="in a directory that exists"):
        Vault.from_file(tmp_path / "nowhere" / "keys")


@for_each(
    ("text", "says"),
    [
        ("", "no master key"),
        ("# only a comment", "no master key"),
        ("k1:c2VjcmV0LXZhbHVl", "has 12 bytes, not 32"),
        ("k1:*secret-value*", "not base64"),
        ("c2VjcmV0LXZhbHVl", "no key id"),
        (f"k 1:{base64.b64encode(K1).decode()}", "cannot name a master key"),
        (f"k1:{base64.b64encode(K1).decode()},k1:{base64.b64encode(K2).decode()}", "there twice"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name_without_being_repeated(text: str, says: str):
    with pytest.raises(StoreError, match=says) as caught:
        Vault.from_text(text)
    assert caught.value.message.startswith("HALFLAP_KEYS: ")
    assert "secret-value" not in caught.value.message
    assert "c2VjcmV0" not in caught.value.message


def test_a_vault_prints_its_key_ids_and_no_key(vault: Vault):
    assert repr(vault) == "<Vault 'k1', current 'k1'>"
