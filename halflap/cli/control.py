"""Control characters in texts from outside: they drive a terminal, or begin a line that nobody wrote."""

from __future__ import annotations

import re
import sys
from collections.abc import MutableMapping
from typing import Any

# With those of Unicode that turn a line's direction, or hide text.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)


def clean(said: str) -> str:
    r"""A text whose control characters are visible (`\x1b`); newlines and tabs stay."""
    return _CONTROL.sub(_visible, said)


def _visible(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def in_lines(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Have a line of the log for people be one, whatever its texts hold; a traceback is indented."""
    for name, value in line.items():
        if isinstance(value, str):
            breaks = "\n  " if name == "exception" else "\\n"
            line[name] = clean(value).replace("\n", breaks)
    return line


def log_errors() -> None:
    """Have a command that is no server log errors alone, to stderr.

    Of a traceback the variables are left out: there are tokens and secrets among them.
    """
    import structlog  # most commands log nothing

    plain = structlog.dev.plain_traceback
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            in_lines,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(40),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
