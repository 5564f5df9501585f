"""The project of the fault runs of SQS: each message of a queue is a number."""

from halflap import Config, Context, Integration, sqs


class Settings(Config):
    aws: sqs.Sqs
    queue: str


integration = Integration("reader", config=Settings, title="Fault runs of a queue")


@integration.flow(trigger=sqs.message(queue=Settings.queue, wait=1, visibility=2))
async def queue(ctx: Context[Settings], event: sqs.QueueMessage) -> int:
    """Return the number."""
    return int(event.body)
