"""Topics of numbers: one execution for many records, or for each."""

from halflap import Config, Context, Integration, kafka


class Settings(Config):
    cluster: kafka.Kafka


many = Integration("many", config=Settings)
static = Integration("static", config=Settings)
each = Integration("each", config=Settings)


@many.flow(trigger=kafka.batches(topic="numbers", start="earliest"))
async def read_many(ctx: Context[Settings], event: list[kafka.Record]) -> list[int]:
    """Return the numbers of many records."""
    return [record.value["n"] for record in event]


@static.flow(trigger=kafka.batches(topic="numbers", start="earliest", static=True))
async def read_static(ctx: Context[Settings], event: list[kafka.Record]) -> list[int]:
    """Return the numbers of many records, as a member that keeps its partitions."""
    return [record.value["n"] for record in event]


@each.flow(trigger=kafka.records(topic="few", start="earliest"))
async def read_each(ctx: Context[Settings], event: kafka.Record) -> int:
    """Return a record's number."""
    return event.value["n"]
