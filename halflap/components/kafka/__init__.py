"""Apache Kafka: a flow for each record of a topic, or for many at once; publish records.

`member` reads as a member of a consumer group, `record` says how a record becomes an event, `reading` has
the triggers, `publishing` the action. The client is librdkafka's, which is loaded when it is first used.
"""

from halflap.components.kafka.connection import (
    Certificate,
    Kafka,
    NoSignIn,
    Plain,
    Scram,
    component,
)
from halflap.components.kafka.publishing import Published, publish
from halflap.components.kafka.reading import batches, records
from halflap.components.kafka.record import Record

__all__ = [
    "Certificate",
    "Kafka",
    "NoSignIn",
    "Plain",
    "Published",
    "Record",
    "Scram",
    "batches",
    "component",
    "publish",
    "records",
]
