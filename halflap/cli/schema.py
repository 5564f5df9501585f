"""`halflap schema`: the JSON Schema of YAML integrations, for editors."""

from __future__ import annotations

import json

import click

from halflap.lowcode.document import editor_schema


@click.command("schema")
def schema() -> None:
    """Print the JSON Schema of a YAML integration, by which editors complete and check one.

    Save it as `integration.schema.json`; in VS Code and others with the YAML language server, a
    document then begins with `# yaml-language-server: $schema=integration.schema.json`.
    """
    click.echo(json.dumps(editor_schema(), indent=2, ensure_ascii=False))
