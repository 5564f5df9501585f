"""A log for tests, in which a traceback is text."""

from typing import Any

import structlog


def plain_logs(**more: Any) -> None:
    """Log as by default, but for tracebacks: rich takes seconds to draw one with its locals."""
    structlog.reset_defaults()
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], renderer], **more)
