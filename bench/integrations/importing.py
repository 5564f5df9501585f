"""An initial import: pages by a cursor, each record dealt with by an execution of its own."""

from halflap import Config, Context, Integration, Model, http, instance, webhook

PAGE_SIZE = 200


class Settings(Config):
    destination: http.Http


class Page(Model):
    after: int = -1


class Row(Model):
    id: int
    name: str


integration = Integration("bench-importing", config=Settings, title="An initial import")


@integration.flow(trigger=webhook.request())
async def pages(ctx: Context[Settings], page: Page) -> None:
    """Import a page, then continue with the next."""
    params = {"after": str(page.after), "limit": str(PAGE_SIZE)}
    found = await http.get(ctx.config.destination, "/records", params=params)
    rows = [Row.model_validate(each) for each in found]
    await ctx.gather(rows, lambda row: ctx.start(record, row, detached=True))
    if len(rows) == PAGE_SIZE:
        await ctx.continue_with(Page(after=rows[-1].id))


@integration.flow(trigger=instance.routed)
async def record(ctx: Context[Settings], row: Row) -> None:
    """Write a record; once more does no harm."""
    await http.put(
        ctx.config.destination, "/records/{id}", values={"id": row.id}, json={"name": row.name}
    )
