"""Apache Kafka: a flow for each record of a topic, or for many at once; publish records.

`member` reads as a member of a consumer group, `record` says how a record becomes an event, `registry`
reads and writes Avro, `reading` has the triggers, `publishing` the actions. The client is librdkafka's,
which is loaded when it is first used.
"""

from halflap.components.kafka.connection import (
    Certificate,
    Kafka,
    NoSignIn,
    Plain,
    Scram,
    component,
)
from halflap.components.kafka.publishing import Published, publish, publish_cloud_event
from halflap.components.kafka.reading import batches, cloud_events, records
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
    "cloud_events",
    "component",
    "publish",
    "publish_cloud_event",
    "records",
]
