"""The project of the fault runs on Kafka: a topic, whose records are numbers."""

from halflap import Config, Context, Integration, kafka


class Settings(Config):
    cluster: kafka.Kafka


integration = Integration("reader", config=Settings, title="Fault runs on Kafka")


@integration.flow(trigger=kafka.records(topic="log", start="earliest"))
async def log(ctx: Context[Settings], event: kafka.Record) -> int:
    """Return the number."""
    return event.value


static = Integration("reader", config=Settings, title="Fault runs on Kafka, by static members")


@static.flow(trigger=kafka.records(topic="log", start="earliest", static=True))
async def log_static(ctx: Context[Settings], event: kafka.Record) -> int:
    """Return the number."""
    return event.value
