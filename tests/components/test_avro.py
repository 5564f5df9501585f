"""Avro of hostile brokers: what a value may cost, and what is no value of its schema."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import fastavro
import pytest

from halflap.components import avro
from tests.cases import for_each

LIST = {
    "type": "record",
    "name": "L",
    "fields": [{"name": "next", "type": ["null", "L"]}],
}


def parsed(document: Any) -> avro.Schema:
    return avro.parse(document, {}, "kafka")


def test_a_list_of_records_is_read_and_one_without_end_is_not() -> None:
    schema = parsed(LIST)
    assert avro.read(b"\x02\x02\x00", schema) == {"next": {"next": {"next": None}}}
    for deep in (2_000, 50_000):
        with pytest.raises(avro.Undecodable, match="fit its schema"):
            avro.read(b"\x02" * deep + b"\x00", schema)


def test_the_reader_in_c_would_end_the_process() -> None:
    """The control: what the bound is for."""
    code = (
        "import fastavro, io;"
        f"schema = fastavro.parse_schema({LIST!r});"
        "fastavro.schemaless_reader(io.BytesIO(b'\\x02' * 1_000_000), schema)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert ended.returncode < 0


EMPTY = {"type": "record", "name": "E", "fields": []}
NULLS = [{"name": f"n{each}", "type": "null"} for each in range(100)]
WIDE = {"type": "record", "name": "W", "fields": [{"name": "a", "type": "boolean"}, *NULLS]}
NONE = {"type": "fixed", "name": "F", "size": 0}


@for_each("items", ["null", EMPTY, NONE, WIDE])
def test_a_few_bytes_are_not_a_thousand_million_values(items: Any) -> None:
    with pytest.raises(avro.Undecodable, match="no bytes"):
        parsed({"type": "array", "items": items})


def test_values_of_a_map_have_their_names() -> None:
    schema = parsed({"type": "map", "values": "null"})
    assert avro.read(b"\x02\x02a\x00", schema) == {"a": None}


def test_records_that_double_at_every_level_are_refused() -> None:
    named: dict[str, Any] = {}
    avro.parse({"type": "record", "name": "R0", "fields": []}, named, "kafka")

    def grow() -> None:
        for level in range(1, 30):
            fields = [{"name": name, "type": f"R{level - 1}"} for name in "ab"]
            avro.parse({"type": "record", "name": f"R{level}", "fields": fields}, named, "kafka")

    with pytest.raises(avro.Undecodable, match="no bytes"):
        grow()


def test_long_names_do_not_make_a_long_document_of_a_short_value() -> None:
    one = {"type": "record", "name": "R", "fields": [{"name": "x" * 5_000, "type": "boolean"}]}
    schema = parsed({"type": "array", "items": one})
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema.parsed, [{"x" * 5_000: True}] * 10_000)
    with pytest.raises(avro.Undecodable, match="characters as JSON"):
        avro.read(out.getvalue(), schema)


def test_records_used_twice_are_not_taken_for_recursive_ones() -> None:
    place = {"type": "record", "name": "P", "fields": [{"name": "x", "type": "int"}]}
    fields = [{"name": "from", "type": place}, {"name": "to", "type": "P"}]
    schema = parsed({"type": "record", "name": "Way", "fields": fields})
    assert not schema.is_deep
    assert parsed(LIST).is_deep
    assert avro.read(b"\x02\x04", schema) == {"from": {"x": 1}, "to": {"x": 2}}


@pytest.mark.parametrize(
    "outer", [{"name": "n." * 501 + "R"}, {"name": "R", "namespace": "n" * 1_001}]
)
def test_a_long_namespace_is_not_repeated_for_every_name_in_it(outer: dict[str, str]) -> None:
    """Of 0.8 MB of text, 450 MB of names."""
    types = [{"type": "fixed", "name": f"t{each}", "size": 1} for each in range(3)]
    fields = [{"name": each["name"], "type": each} for each in types]
    with pytest.raises(avro.Undecodable, match="namespace of more than 1,000 characters"):
        parsed({"type": "array", "items": {"type": "record", "fields": fields, **outer}})
    parsed({"type": "record", "name": "a.b.R", "namespace": "n" * 1_000, "fields": fields})
