"""The request that an author's trigger sees: the bytes as they came, read only when asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from halflap.errors import InvalidEvent
from halflap.sdk import codec


class Headers(Mapping[str, str]):
    """The headers of a request: names in any case, in the order and as often as they were sent.

    `headers["name"]` is the first value of that name; `getall` has every one.
    """

    __slots__ = ("_values", "raw")

    raw: tuple[tuple[str, str], ...]
    """Every header as it came: (name, value)."""

    def __init__(self, raw: Iterable[tuple[str, str]] = ()) -> None:
        self.raw = tuple(raw)
        self._values: dict[str, list[str]] = {}
        for name, value in self.raw:
            self._values.setdefault(name.lower(), []).append(value)

    def getall(self, name: str) -> list[str]:
        """Every value of a header, in order; empty where it was not sent."""
        return list(self._values.get(name.lower(), ()))

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._values == other._values

    def __hash__(self) -> int:
        return hash(tuple((name, *values) for name, values in sorted(self._values.items())))

    def __repr__(self) -> str:
        # Values may be secrets, and a repr ends in logs.
        return f"<Headers {', '.join(self._values)}>"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request to an endpoint, exactly as it was received.

    `path` is what follows the endpoint's own address (`""` or `/a/b`), `query` is raw, `url` is the
    public URL that the sender called, `received_at` is in UTC. `part` numbers the events of a
    request that was split.
    """

    method: str
    path: str
    query: str = field(repr=False)
    headers: Headers
    body: bytes = field(repr=False)
    url: str = field(repr=False)
    received_at: datetime
    part: int = 0
    _read: dict[str, Any] = field(
        default_factory=dict[str, Any], init=False, repr=False, compare=False
    )

    def json(self) -> Any:
        """The body as JSON, with exact numbers; `InvalidEvent` where it is none."""
        if "json" not in self._read:
            try:
                self._read["json"] = codec.decode(self.body)
            except codec.NotJson as error:
                raise InvalidEvent(f"The body is not JSON: {error}.") from error
        return self._read["json"]
