"""`halflap demo`: does it work here? Two customers, real payloads, a kill -9, and a check for each."""

from __future__ import annotations

import sys

import click

from halflap.cli.demo.day import run_day


@click.command("demo")
@click.option("--keep", is_flag=True, envvar="KEEP", help="Leave all running and print the URLs.")
def demo(keep: bool) -> None:
    """Run a day of two customers on this machine, and check every claim.

    Starts the sandbox app Acme and a server, creates two customers, activates their instances, sends
    GitHub's real payloads and warehouse updates, kills the server in a burst, and looks at what
    arrived. Needs no account, no network, nothing installed. Exit code 0 where every check passed.
    """
    from halflap.gateway.server import run_loop

    sys.exit(run_loop(run_day(keep=keep)))
