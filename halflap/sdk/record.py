"""How inputs and results become the bytes of a record, and come back as the same values.

Fractions are `Decimal` and keep every digit. A connection is recorded by its name. A secret among
the inputs is not recorded at all; one in a result or in state is sealed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec
from pydantic import BaseModel, SecretStr, TypeAdapter

from halflap.errors import StoreError
from halflap.sdk import codec
from halflap.sdk.action import Action
from halflap.sdk.connection import Connection
from halflap.sdk.schema import UNSET, File, Input

Seal = Callable[[str], str]
PLAIN: frozenset[type] = frozenset({str, int, bool, type(None)})
UNSET_BYTES = b'"UNSET"'

adapters: dict[int, tuple[Any, TypeAdapter[Any]]] = {}


def adapter_of(annotation: Any) -> TypeAdapter[Any]:
    """A validator for an annotation, made once."""
    known = adapters.get(id(annotation))
    if known is None or known[0] is not annotation:
        known = adapters[id(annotation)] = (annotation, TypeAdapter(annotation))
    return known[1]


def encode_inputs(action: Action[..., Any], arguments: Mapping[str, Any]) -> bytes:
    """A step's inputs by name, for the journal and for support."""
    shown: dict[str, Any] = {}
    for each in action.shape.inputs:
        if each.name in arguments:
            value = arguments[each.name]
            if value is not UNSET:
                shown[each.name] = value if type(value) in PLAIN else dumped(each, value)
    if action.shape.connection is not None:
        value = arguments.get(action.shape.connection)
        link = value._linked() if isinstance(value, Connection) else None
        shown["$connection"] = link.name if link is not None else action.component
    data = _inputs_encoder.encode(shown)
    return _inputs_encoder.encode(without_unset(shown)) if UNSET_BYTES in data else data


def dumped(each: Input, value: Any) -> Any:
    """A value of an input as plain data."""
    if isinstance(value, File | SecretStr):
        return value
    return each.adapter.dump_python(value, by_alias=True, warnings=False)


def encode_value(value: Any, adapter: TypeAdapter[Any] | None, seal: Seal) -> bytes:
    """A result or a value of state as bytes; `SecretStr` is sealed on the way."""
    if adapter is not None:
        value = adapter.dump_python(value, by_alias=True, warnings=False)
    refuse_lossy(value, "$", typed=adapter is not None)
    try:
        data = _result_encoder.encode(value)
        return _result_encoder.encode(without_unset(value)) if UNSET_BYTES in data else data
    except _HasSecret:
        encoder = msgspec.json.Encoder(enc_hook=_with_seal(seal), decimal_format="number")
        return encoder.encode(without_unset(value))


def refuse_lossy(value: Any, path: str, *, typed: bool) -> None:
    """Refuse what would come back as something else: NaN and infinity, and bytes without a type."""
    if type(value) in PLAIN:
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise TypeError(f"{path}: {value!r} has no JSON; return None, or a text that says so")
    if isinstance(value, bytes | bytearray) and not typed:
        raise TypeError(f"{path}: bytes would come back as text; return a File")
    if isinstance(value, dict):
        for name, each in cast(dict[Any, Any], value).items():
            if type(each) not in PLAIN:
                refuse_lossy(each, f"{path}.{name}", typed=typed)
    elif isinstance(value, list | tuple | set | frozenset):
        for place, each in enumerate(cast(list[Any], value)):
            if type(each) not in PLAIN:
                refuse_lossy(each, f"{path}[{place}]", typed=typed)


def without_unset(value: Any) -> Any:
    """Plain data without the fields that were left alone: what is absent comes back as `UNSET`."""
    if isinstance(value, BaseModel):
        value = value.model_dump(by_alias=True)
    if isinstance(value, dict):
        fields = cast(dict[Any, Any], value)
        return {name: without_unset(each) for name, each in fields.items() if each is not UNSET}
    if isinstance(value, list | tuple):
        return [without_unset(each) for each in cast(list[Any], value)]
    return value


def decode_value(data: bytes, adapter: TypeAdapter[Any] | None, unseal: Seal) -> Any:
    """What `encode_value` wrote, as a value of the adapter's type."""
    value = codec.decode(data)
    if b'"$secret"' in data:
        value = _unsealed(value, unseal)
    return value if adapter is None else adapter.validator.validate_python(value)


class _HasSecret(Exception):
    pass


def _show_input(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return {"$secret": True}
    if isinstance(value, File):
        digest = hashlib.sha256(value.data).hexdigest()
        return {"$file": {"name": value.name, "size": len(value.data), "sha256": digest}}
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True)
    if isinstance(value, File):
        return TypeAdapter(File).dump_python(value)
    if isinstance(value, Connection):
        return {"$connection": value._link.name if value._link else type(value).__name__}
    raise TypeError(
        f"a {type(value).__name__} cannot be kept in a record; return plain data, a Model or a File"
    )


def _refuse_secret(value: Any) -> Any:
    if isinstance(value, SecretStr):
        raise _HasSecret
    return _plain(value)


def _with_seal(seal: Seal) -> Callable[[Any], Any]:
    def hook(value: Any) -> Any:
        if isinstance(value, SecretStr):
            return {"$secret": seal(value.get_secret_value())}
        return _plain(value)

    return hook


def opened(held: dict[str, Any], unseal: Seal) -> Any:
    """A sealed secret; what merely looks like one (an app may send anything) stays as it is."""
    try:
        return SecretStr(unseal(held["$secret"]))
    except (StoreError, ValueError):
        return held


def _unsealed(value: Any, unseal: Seal) -> Any:
    if isinstance(value, dict):
        held = cast(dict[str, Any], value)
        if set(held) == {"$secret"} and isinstance(held["$secret"], str):
            return opened(held, unseal)
        return {name: _unsealed(each, unseal) for name, each in held.items()}
    if isinstance(value, list):
        return [_unsealed(each, unseal) for each in cast(list[Any], value)]
    return value


# Sorted: a set has another order in every process, and a resumed step's inputs must be the same.
_inputs_encoder = msgspec.json.Encoder(
    enc_hook=_show_input, decimal_format="number", order="deterministic"
)
_result_encoder = msgspec.json.Encoder(enc_hook=_refuse_secret, decimal_format="number")
