"""A client of librdkafka: of the server where it publishes, of a process of its own where it reads."""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from halflap import DefinitionError, Unauthorized, UpstreamError

UNAUTHORIZED = frozenset(
    {
        "_AUTHENTICATION",
        "CLUSTER_AUTHORIZATION_FAILED",
        "GROUP_AUTHORIZATION_FAILED",
        "SASL_AUTHENTICATION_FAILED",
        "TOPIC_AUTHORIZATION_FAILED",
    }
)
"""The errors of a cluster that refuses the connection, or what it asks for, by librdkafka's names."""

Token = Callable[[], tuple[str, float]]
"""Returns a token of the cluster's OAuth server and when it ends, in seconds since 1970; blocks."""

log = logging.getLogger("halflap.kafka")
log.addHandler(logging.NullHandler())  # what goes wrong is shown with the listener, or its step


class KafkaClient:
    """A client of librdkafka: it notes what goes wrong, and gets tokens from the connection."""

    def __init__(
        self, kind: str, settings: Mapping[str, Any], token: Token, connect_seconds: float
    ) -> None:
        self.library = library()
        self.error: UpstreamError | None = None
        """The last error that concerns the whole client; librdkafka goes on by itself after most."""
        self._settings, self._ask_token = settings, token
        self._connect_seconds = connect_seconds
        given = {**settings, "error_cb": self._failed, "logger": log}
        if settings.get("sasl.mechanism") == "OAUTHBEARER":
            given["oauth_cb"] = self._token
        module = "confluent_kafka.admin" if kind == "AdminClient" else "confluent_kafka"
        make: Callable[[dict[str, Any]], Any] = getattr(importlib.import_module(module), kind)
        try:
            self.inner: Any = make(given)
        except self.library.KafkaException as error:
            if self.error is not None:  # no token was got
                raise self.error from None
            raise DefinitionError(f"the Kafka connection is not as it has to be: {error}") from None

    def metadata(self, topic: str | None = None) -> Any:
        """Return what the cluster says of itself, and of a topic; blocks."""
        ends = time.monotonic() + self._connect_seconds
        while True:
            try:
                return self.inner.list_topics(topic, timeout=1.0)
            except self.library.KafkaException as error:
                self.inner.poll(0)  # why it failed is told by then
                if isinstance(self.error, Unauthorized) or time.monotonic() > ends:
                    raise self.error or failure(error.args[0]) from None

    def _failed(self, error: Any) -> None:
        found = failure(error)
        # The first refusal is the reason; that all brokers are away is what follows of it.
        if not isinstance(self.error, Unauthorized):
            self.error = found

    def _token(self, _: str) -> tuple[str, float]:
        # librdkafka asks in a thread of its own.
        try:
            return self._ask_token()
        except UpstreamError as error:
            self.error = error
            raise


def library() -> Any:
    """Return the package of Kafka's client."""
    try:
        return cast(Any, importlib.import_module("confluent_kafka"))
    except ImportError as error:
        raise DefinitionError(
            f"Kafka needs confluent-kafka ({error}); install it with: pip install 'halflap[kafka]'"
        ) from None


def failure(error: Any) -> UpstreamError:
    """Return an error of librdkafka as one of ours."""
    text = f"Kafka: {error.str()} ({error.name()})"
    if error.name() in UNAUTHORIZED:
        return Unauthorized(text)
    return UpstreamError(text, in_doubt=False)
