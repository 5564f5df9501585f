"""The project of the fault runs of IMAP: the subject of each mail is a number."""

from halflap import Config, Context, Integration, imap


class Settings(Config):
    box: imap.Imap


integration = Integration("reader", config=Settings, title="Fault runs of a mailbox")


@integration.flow(trigger=imap.message(start="earliest", then="seen"))
async def mails(ctx: Context[Settings], event: imap.FolderMail) -> int:
    """Return the number."""
    return int(event.subject)
