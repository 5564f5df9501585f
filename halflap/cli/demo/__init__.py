"""`halflap demo`: does it work here? Two customers, two apps, kill -9, and a check for each claim."""

from __future__ import annotations

import sys

import click

from halflap.cli.demo.story import run_demo


@click.command("demo")
@click.option(
    "--keep",
    is_flag=True,
    envvar="KEEP",
    help="Leave all of it running, and print a link to the console.",
)
def demo(keep: bool) -> None:
    """Run a day of two customers on this machine, and check every claim.

    Starts the sandbox apps Salesforce and Acme and a server. Two customers activate Salesforce ⇄ Acme;
    people work in both apps, the server is killed meanwhile, one customer upgrades, both switch off.
    Then GitHub's real payloads and warehouse updates. Needs no account, no network, nothing
    installed. Exit code 0 where every check passed.
    """
    from halflap.gateway.server import run_loop

    sys.exit(run_loop(run_demo(keep=keep)))
