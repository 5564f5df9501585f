"""`halflap lsp`: a language server for YAML integrations, for editors."""

from __future__ import annotations

import click

from halflap.errors import DefinitionError


@click.command("lsp")
@click.option("--stdio", is_flag=True, help="Speak over standard input and output, as always.")
def lsp(stdio: bool) -> None:
    """Help an editor with YAML integrations: findings, completion, help, and where things are.

    Editors start it themselves, and speak the Language Server Protocol with it. It runs none of the
    project's code. Needs `pip install 'halflap[lsp]'`.
    """
    try:
        from halflap.cli.lsp.server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("pygls", "lsprotocol"):
            raise
        raise DefinitionError(
            "the language server needs pygls; install it: pip install 'halflap[lsp]'"
        ) from error
    serve()
