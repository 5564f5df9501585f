"""Encode inputs and results as the bytes of a record, and decode them to the same values.

Fractions are `Decimal` and keep every digit. A connection is recorded by its name. A secret among
the inputs is not recorded at all; one in a result or in state is sealed, and so is a text in which an
app repeats a secret of the execution: the flow gets it as it was.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, cast

import msgspec
from pydantic import BaseModel, SecretStr, TypeAdapter

from halflap.errors import StoreError
from halflap.sdk import codec, pacing
from halflap.sdk._json import MAX_DIGITS, fits, long_number
from halflap.sdk.action import Action
from halflap.sdk.connection import Connection
from halflap.sdk.decoding import apart, decode_recorded
from halflap.sdk.pacing import LARGE, in_pieces, is_large, paced, weigh
from halflap.sdk.redact import LONGEST, Redactor
from halflap.sdk.schema import UNSET, File, InputField

Seal = Callable[[str], str]
ECHO = "\0echo:"
"""The prefix of an envelope's content that is plain data in which a secret was found."""
SHORT: frozenset[type] = frozenset({int, bool, type(None)})
PLAIN = SHORT | {str}
LONG = f"NaN and numbers of more than {MAX_DIGITS} digits have no JSON; return it as a text"
_TOO_MUCH = 10**MAX_DIGITS
_WHOLE = (File, SecretStr)
UNSET_BYTES, SECRET_BYTES = b'"UNSET"', b'"$secret"'
"""Looked for by `find`: `in` raises an error of its own first, and takes twice as long."""


class Sealing:
    """Seals what may not be recorded as it is, and teaches the execution's redactor each secret."""

    __slots__ = ("_seal", "redactor")

    def __init__(self, seal: Seal, redactor: Redactor) -> None:
        self._seal = seal
        self.redactor = redactor

    def __call__(self, secret: str) -> str:
        if len(secret) > LONGEST:
            raise TypeError(
                f"a secret is longer than {LONGEST:,} characters; it cannot be recorded"
            )
        self.redactor.add([secret])
        return self._seal(secret)

    def echoes(self, value: Any) -> Any:
        """Return plain data with each text in which a secret is found sealed."""
        if isinstance(value, str):
            hits = self.redactor.hits(value)
            return self._echo(value, hits) if hits else value
        if isinstance(value, dict):
            held = cast(dict[str, Any], value)
            if set(held) == {"$secret"}:
                return held
            hits = [hit for name in held for hit in self.redactor.hits(name)]
            if hits:
                return self._echo(held, hits)
            return {name: self.echoes(each) for name, each in held.items()}
        if isinstance(value, list):
            return [self.echoes(each) for each in cast(list[Any], value)]
        return value

    def _echo(self, value: Any, hits: list[str]) -> dict[str, str]:
        content = codec.encode({"value": value, "hits": hits}).decode()
        return {"$secret": self._seal(f"{ECHO}{content}")}


class Unsealing:
    """Opens what `Sealing` sealed, and teaches the execution's redactor what it held."""

    __slots__ = ("_redactor", "_unseal")

    def __init__(self, unseal: Seal, redactor: Redactor) -> None:
        self._unseal = unseal
        self._redactor = redactor

    def __call__(self, envelope: str) -> str:
        text = self._unseal(envelope)
        if text.startswith(ECHO):
            self._redactor.add_spellings(codec.decode(text.removeprefix(ECHO))["hits"])
        else:
            self._redactor.add([text])
        return text


adapters: dict[int, tuple[Any, TypeAdapter[Any]]] = {}


def adapter_of(annotation: Any) -> TypeAdapter[Any]:
    """A validator for an annotation, made once."""
    known = adapters.get(id(annotation))
    if known is None or known[0] is not annotation:
        known = adapters[id(annotation)] = (annotation, TypeAdapter(annotation))
    return known[1]


def encode_inputs(action: Action[..., Any], arguments: Mapping[str, Any]) -> bytes:
    """A step's inputs by name, for the journal and for support."""
    return _inputs_data(shown_inputs(action, arguments))


async def record_inputs(action: Action[..., Any], arguments: Mapping[str, Any]) -> bytes:
    """Encode inputs as `encode_inputs` does; large ones piece by piece."""
    shown = shown_inputs(action, arguments, pacing.HEAVY)
    return await _large_inputs(action, arguments) if shown is None else _inputs_data(shown)


async def _large_inputs(action: Action[..., Any], arguments: Mapping[str, Any]) -> bytes:
    written: dict[str, Any] = {}
    for each in action.shape.inputs:
        if each.annotation is Any and is_large(value := arguments.get(each.name)):
            try:  # so that its parts are dumped by themselves
                data = await in_pieces(value, partial(_input_data, each), sort=True)
            except TypeError:
                return encode_inputs(action, arguments)  # the error names the place
            written[each.name] = msgspec.Raw(data)
    if written:
        arguments = {**arguments, **written}
    return await in_pieces(shown_inputs(action, arguments), _inputs_data, sort=True)


def _input_data(each: InputField, value: Any) -> bytes:
    return _inputs_data(dumped(each, value))


def shown_inputs(
    action: Action[..., Any], arguments: Mapping[str, Any], most: int | None = None
) -> dict[str, Any] | None:
    """Return a step's inputs by name, as they are recorded; None where they weigh more than `most`."""
    shown: dict[str, Any] = {}
    shape, weight = action.shape, 0
    inputs = shape.by_name
    for name, value in arguments.items():
        if name in inputs:
            if type(value) is str:
                weight += len(value) >> 6
            elif type(value) not in SHORT:
                if value is UNSET:
                    continue
                if most is not None:
                    weight += weigh(value, most, other=LARGE)
                    if weight > most:
                        return None
                value = dumped(inputs[name], value)
            shown[name] = value
    if (connection := shape.connection) is not None:
        value = arguments.get(connection)
        link = value._linked() if isinstance(value, Connection) else None
        shown["$connection"] = link.name if link is not None else action.component
    return shown if most is None or weight <= most else None


def _inputs_data(shown: Any) -> bytes:
    try:
        data = _inputs_encoder.encode(shown)
    except Unwritable as error:
        raise TypeError(f"{place_in(shown, error.value)}: {error}") from None
    return _inputs_encoder.encode(without_unset(shown)) if data.find(UNSET_BYTES) >= 0 else data


def dumped(each: InputField, value: Any) -> Any:
    """A value of an input as plain data."""
    if isinstance(value, _WHOLE):
        return value
    return each.adapter.serializer.to_python(value, by_alias=True, warnings=False)


def encode_value(value: Any, adapter: TypeAdapter[Any] | None, seal: Seal) -> bytes:
    """A result or a value of state as bytes; `SecretStr` is sealed on the way."""
    if adapter is not None:
        value = adapter.serializer.to_python(value, by_alias=True, warnings=False)
    return _encode_checked(value, seal, typed=adapter is not None)


async def record_value(value: Any, adapter: TypeAdapter[Any] | None, seal: Seal) -> bytes:
    """Encode a value as `encode_value` does; a large one piece by piece."""
    if typed := adapter is not None:
        value = adapter.serializer.to_python(value, by_alias=True, warnings=False)
    if not is_large(value):
        return _encode_checked(value, seal, typed=typed)
    # The whole is searched below: a secret may lie across two texts.
    data = await in_pieces(value, partial(_encode_checked, seal=seal.__call__, typed=typed))
    if not isinstance(seal, Sealing) or not any(await paced(seal.redactor.look(data))):
        return data
    echoed = await apart(seal.echoes, await decode_recorded(data))
    return await in_pieces(echoed, _result_encoder.encode)


def _encode_checked(value: Any, seal: Seal, *, typed: bool) -> bytes:
    refuse_lossy(value, "$", typed=typed)
    try:
        data = _encoded(value, seal)
    except Unwritable as error:
        raise TypeError(f"{place_in(value, error.value)}: {error}") from None
    except ValueError:  # a whole number of more digits than Python writes
        refuse_long(value)
        raise
    if len(data) > MAX_DIGITS and long_number(data) is not None:
        refuse_long(value)
    return data


def refuse_long(value: Any) -> None:
    """Refuse a whole number that would not be read again, with its place."""
    found = find_place(value, lambda each: isinstance(each, int) and abs(each) >= _TOO_MUCH)
    if found is not None:
        raise TypeError(f"{found}: {LONG}")


def _encoded(value: Any, seal: Seal) -> bytes:
    try:
        data = _result_encoder.encode(value)
        if data.find(UNSET_BYTES) >= 0:
            data = _result_encoder.encode(without_unset(value))
    except _HasSecret:
        encoder = msgspec.json.Encoder(enc_hook=_with_seal(seal), decimal_format="number")
        data = encoder.encode(without_unset(value))
    if isinstance(seal, Sealing) and seal.redactor.finds(data):
        return _result_encoder.encode(seal.echoes(codec.decode(data)))
    return data


def redacted_data(data: bytes, redactor: Redactor, least: int = 0) -> bytes:
    """Return recorded inputs with `•••` in the place of each secret: the same bytes each time.

    `least` is `LEAST_IN_DATA` for what somebody goes on with: a result, another flow's event.
    """
    if not redactor.finds(data):
        return data
    shown = _redacted(codec.decode(data), redactor, least)
    return data if shown is None else _inputs_encoder.encode(shown)


async def redact_data(data: bytes, redactor: Redactor, least: int = 0) -> bytes:
    """Redact as `redacted_data` does; large data piece by piece."""
    if len(data) <= LARGE:
        return redacted_data(data, redactor, least)
    if not any(await paced(redactor.look(data))):
        return data
    shown = await apart(_redacted, await decode_recorded(data), redactor, least)
    return data if shown is None else await in_pieces(shown, _inputs_encoder.encode, sort=True)


def _redacted(value: Any, redactor: Redactor, least: int) -> Any:
    """Return a value with `•••` in the place of each secret; None where it holds none."""
    shown = redactor.value(value, least)
    return None if shown == value else shown


def refuse_lossy(value: Any, path: str, *, typed: bool) -> None:
    """Refuse what would not come back: NaN, infinity, too long a fraction; bytes without a type."""
    if type(value) in PLAIN:
        return
    if isinstance(value, dict):
        fields = cast("dict[Any, Any]", value)
        if not PLAIN.issuperset(map(type, fields.values())):
            for name, each in fields.items():
                refuse_lossy(each, f"{path}.{name}", typed=typed)
    elif type(value) is Decimal:
        if not fits(value):
            raise TypeError(f"{path}: {LONG}")
    elif isinstance(value, list | tuple | set | frozenset):
        for place, each in enumerate(cast(list[Any], value)):
            if type(each) not in PLAIN:
                refuse_lossy(each, f"{path}[{place}]", typed=typed)
    elif isinstance(value, BaseModel):
        refuse_lossy(value.model_dump(by_alias=True), path, typed=typed)
    elif isinstance(value, float) and not math.isfinite(value):
        raise TypeError(f"{path}: {value!r} has no JSON; return None, or a text that says so")
    elif isinstance(value, bytes | bytearray) and not typed:
        raise TypeError(f"{path}: bytes would come back as text; return a File")


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
    """Decode what `encode_value` wrote, as a value of the adapter's type."""
    value = codec.decode(data)
    if data.find(SECRET_BYTES) >= 0:
        value = _unsealed(value, unseal)
    return value if adapter is None else adapter.validator.validate_python(value)


async def recall_value(data: bytes, adapter: TypeAdapter[Any] | None, unseal: Seal) -> Any:
    """Decode as `decode_value` does; large data in another process."""
    if len(data) <= LARGE:
        return decode_value(data, adapter, unseal)
    value = await decode_recorded(data)
    if data.find(SECRET_BYTES) >= 0:
        value = await apart(_unsealed, value, unseal)
    return value if adapter is None else adapter.validator.validate_python(value)


class _HasSecret(Exception):
    pass


class Unwritable(TypeError):
    """A value of a type that has no JSON."""

    def __init__(self, value: object) -> None:
        name = type(value).__name__
        article = "an" if name[0] in "aeiouAEIOU" else "a"
        super().__init__(
            f"{article} {name} cannot be recorded; pass or return plain data, a Model or a File"
        )
        self.value = value


def place_in(value: Any, found: object) -> str:
    """Return the path at which an object stands in a value; that of the value where it is not there."""
    return find_place(value, lambda each: each is found) or "$"


def find_place(value: Any, wanted: Callable[[Any], bool], path: str = "$") -> str | None:
    """Return the path of the first value within a value that is wanted."""
    if wanted(value):
        return path
    if isinstance(value, BaseModel):
        value = value.model_dump(by_alias=True)
    parts: Any = ()
    if isinstance(value, Mapping):
        parts = ((f"{path}.{name}", each) for name, each in cast(Any, value).items())
    elif isinstance(value, list | tuple | set | frozenset):
        parts = ((f"{path}[{n}]", each) for n, each in enumerate(cast(Any, value)))
    for place, each in parts:
        if (inside := find_place(each, wanted, place)) is not None:
            return inside
    return None


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
    raise Unwritable(value)


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
        text = unseal(held["$secret"])
        return (
            codec.decode(text[len(ECHO) :])["value"] if text.startswith(ECHO) else SecretStr(text)
        )
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
