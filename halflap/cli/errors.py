"""Print an error to the user of a command: one message that says what to do next, an exit code.

1: it did not work. 2: the command is wrong. 130: Ctrl-C. Errors go to stderr, never into `--json`.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, cast

import click

from halflap import errors
from halflap.errors import (
    ConfigError,
    Conflict,
    DefinitionError,
    EgressRefused,
    HalflapError,
    NotFound,
    StoreError,
    UpstreamError,
)

FAILED = 1
INTERRUPTED = 130
MOST_SAID = 500
"""So much of another app's answer is repeated."""


def told(run: Callable[[], Any]) -> int:
    """Run a command; whatever goes wrong is told on stderr. Returns the exit code."""
    try:
        result = run()
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort as error:
        return aborted(error)
    except HalflapError as error:
        show(error)
        return FAILED
    except BrokenPipeError:
        # Who read us has enough. Python would complain again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        traceback.print_exc()
        write(
            f"{type(error).__name__}: {error}\n"
            "This is a mistake in Halflap, not in what you typed. Please report the lines above."
        )
        return FAILED
    return result if isinstance(result, int) else 0


def aborted(error: click.Abort) -> int:
    """Print what Ctrl-C ended, or a question that there is no terminal to answer."""
    if not isinstance(error.__cause__ or error.__context__, EOFError):
        return INTERRUPTED
    write(
        "a question was asked and there is nobody to answer it; give the answer as an option: "
        "--yes confirms"
    )
    return FAILED


def show(error: HalflapError) -> None:
    """Tell an error: what happened, each wrong field, and what the other app said."""
    lines = [error.message]
    if isinstance(error, ConfigError):
        lines += [
            f"  {name}: {what}" for name, what in error.fields.items() if name not in error.message
        ]
    if isinstance(error, UpstreamError) and (body := error.body.strip()):
        lines.append(f"  the app said: {body[:MOST_SAID]}{'…' if len(body) > MOST_SAID else ''}")
    write("\n".join([*lines, *getattr(error, "__notes__", [])]))


def write(text: str) -> None:
    """An error on stderr; what it repeats of others cannot move the cursor."""
    # `output` needs Rich, which most commands that fail have loaded, and `--help` need not.
    from halflap.cli.control import clean
    from halflap.cli.output import in_own_words

    first, _, rest = clean(in_own_words(text)).partition("\n")
    mark = "error:"
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        mark = click.style(mark, fg="red", bold=True)
    click.echo(f"{mark} {first}" + (f"\n{rest}" if rest else ""), err=True)


def from_problem(status: int, problem: Mapping[str, Any], where: str) -> HalflapError:
    """Return the API's answer (problem+json) as the error of the tree that it was at the server.

    `where` names the server.
    """
    kind = str(problem.get("kind", ""))
    detail = str(problem.get("detail") or problem.get("title") or f"HTTP {status}")
    if status == 401 and kind == "TokenRefused":
        return ConfigError(
            f"{where} refused the token. It is that server's HALFLAP_TOKEN, or the text of the file "
            "`token` in its directory: set HALFLAP_TOKEN to it, or give --token"
        )
    if kind == "InternalError":
        return HalflapError(f"{where} failed on this request, by an error of its own; see its log")
    if kind == "OvertakenVersion":
        draft = cast(dict[str, dict[str, Any]], problem.get("draft") or {})
        return Conflict(detail, key=str(draft.get("newest", {}).get("hash", "")))
    found: object = getattr(errors, kind, None)
    if not (isinstance(found, type) and issubclass(found, HalflapError)):
        return HalflapError(f"{where}: {detail}")
    if issubclass(found, ConfigError):
        fields: object = problem.get("fields")
        return ConfigError(detail, fields=cast(dict[str, str] | None, fields))
    if issubclass(found, EgressRefused):
        return EgressRefused(detail)
    if issubclass(found, UpstreamError):
        upstream = cast(dict[str, Any], problem.get("upstream") or {})
        return UpstreamError(
            detail, status=upstream.get("status"), body=str(upstream.get("body") or "")
        )
    for each in (Conflict, DefinitionError, NotFound, StoreError):
        if issubclass(found, each):
            return found(detail)
    return HalflapError(detail)
