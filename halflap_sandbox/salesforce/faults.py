"""The faults that this Salesforce has on request, by its own words."""

from typing import ClassVar

from halflap_sandbox import faults


class Faults(faults.Faults):
    """The faults of one org, or of all that have none of their own.

    `duplicate_rate`, `reorder` and `drop_rate` are of outbound messages: an acknowledged one is sent
    again, a notification lets others pass, a notification is never sent.
    """

    named_by: ClassVar[str] = "org"
    dropped_by: ClassVar[str] = "drop_notification_rate"

    org: str | None = None
    drop_notification_rate: faults.Rate = 0
