"""The faults that Acme has on request, by its own words."""

from typing import ClassVar

from halflap_sandbox import faults


class Faults(faults.Faults):
    """The faults of one workspace, or of all that have none of their own."""

    named_by: ClassVar[str] = "workspace"
    dropped_by: ClassVar[str] = "drop_webhook_rate"

    workspace: str | None = None
    drop_webhook_rate: faults.Rate = 0
