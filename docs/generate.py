"""Render the reference pages that follow from the code: `python docs/generate.py` writes them.

A test compares the committed pages with what is rendered, so they cannot fall behind.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType, UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import halflap
import halflap.components
from bench.report import is_kept
from halflap import Component, HalflapError
from halflap.cli import main
from halflap.lowcode.assist.naming import function_help
from halflap.lowcode.expressions import Expression, Scope
from halflap.lowcode.expressions.library import LIBRARY
from halflap.lowcode.lint import RULES as DOCUMENT_RULES
from halflap.sdk import codec
from halflap.sdk.lint import RULES as SOURCE_RULES
from halflap.sdk.listener import ListenerSpec
from halflap.sdk.polling import PollSpec
from halflap.sdk.schema import UNSET
from halflap.sdk.specification import SpecifiedAction, published
from halflap.server.metrics import METRICS
from halflap.server.settings import PREFIX, Settings
from halflap.testing.listeners import check_listener
from halflap.testing.quality import Quality, check_component, check_webhook, load_quality

HERE = Path(__file__).parent
NOTE = "<!-- Made by docs/generate.py from the code; change the code, then run it again. -->\n\n"
BESIDE = {
    "What `@trigger.listen(…)` takes, and declares.": ListenerSpec,
    "What `@trigger.poll(…)` takes beside that, and declares.": PollSpec,
    "`from halflap.testing.listeners import check_listener`": check_listener,
    "`from halflap.testing.quality import check_component`": check_component,
    "`from halflap.testing.quality import check_webhook`": check_webhook,
}
"""What is no name of `halflap` itself, and is called or read of by authors all the same."""
VALUES = {
    "UNSET": "An input that was left alone, where `None` would clear it. See `Unset`.",
    "FAILURES": "What a step raises for good, as a tuple: `except FAILURES as error:` catches it.",
    "Json": "A value of JSON: what an app sent, before it has a type. Fractions are `Decimal`.",
}


def pages() -> dict[str, str]:
    """Every generated page, by its path below docs/."""
    return {
        "reference/cli.md": cli(),
        "reference/settings.md": settings(),
        "reference/metrics.md": metrics(),
        "reference/components.md": components(),
        "components/index.md": catalogue(),
        "reference/lint.md": lint_rules(),
        "reference/functions.md": functions(),
        "reference/python.md": python(),
        "performance.md": with_figures("performance.md", figures()),
        "scaling.md": with_figures("scaling.md", scale()),
    }


# The rules of lint ----------------------------------------------------------------------------


def lint_rules() -> str:
    """The findings that `halflap lint` looks for."""
    parts = [
        "# Rules of lint\n",
        NOTE + "What `halflap lint` looks for, without running anything. What has errors cannot be "
        "published; a rule that says so only warns.\n",
    ]
    for title, rules in (("Python", SOURCE_RULES), ("YAML", DOCUMENT_RULES)):
        parts.append(
            f"## {title}\n\n| rule | what it finds | why | write instead |\n|---|---|---|---|"
        )
        for each in rules:
            warns = " (warning)" if each.severity == "warning" else ""
            cells = (each.code + warns, each.finds, each.why, each.instead)
            parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        parts.append("")
    return "\n".join(parts)


# The functions of expressions -----------------------------------------------------------------

EVENT: dict[str, Any] = {
    "id": "006",
    "name": "  Ada   Lovelace ",
    "total": Decimal("99.90"),
    "at": "2026-03-01T12:00:00Z",
    "tags": ["b", "a", "b"],
    "lines": [{"sku": "anvil", "count": 2}, {"sku": "rope", "count": 1}],
    "customer": {"first": "Ada", "last": "Lovelace"},
}
"""The event that the examples of functions read."""
OWN = ("list",)
"""Functions that JSONata does not have."""
EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "Lists": (
        ("list", "$list(event.customer.first)"),
        ("count", "$count(event.lines)"),
        ("map", "$map(event.lines, function($line) { $uppercase($line.sku) })"),
        ("filter", "$filter(event.lines, function($line) { $line.count > 1 })"),
        ("single", "$single(event.lines, function($line) { $line.sku = 'rope' })"),
        ("reduce", "$reduce(event.lines.count, function($sum, $each) { $sum + $each })"),
        ("append", "$append(event.tags, 'c')"),
        ("distinct", "$distinct(event.tags)"),
        ("sort", "$sort(event.tags)"),
        ("reverse", "$reverse(event.tags)"),
        ("zip", "$zip(event.tags, [1, 2, 3])"),
        ("shuffle", "$count($shuffle(event.tags))"),
    ),
    "Numbers": (
        ("number", "$number(event.id)"),
        ("sum", "$sum(event.lines.count)"),
        ("max", "$max(event.lines.count)"),
        ("min", "$min(event.lines.count)"),
        ("average", "$average(event.lines.count)"),
        ("round", "$round(event.total * 1.19, 2)"),
        ("floor", "$floor(event.total)"),
        ("ceil", "$ceil(event.total)"),
        ("abs", "$abs(-3)"),
        ("power", "$power(2, 10)"),
        ("sqrt", "$sqrt(16)"),
        ("formatNumber", "$formatNumber(event.total, '#,##0.00')"),
        ("formatBase", "$formatBase(255, 16)"),
        ("formatInteger", "$formatInteger(4, 'I')"),
        ("parseInteger", "$parseInteger('twelve', 'w')"),
        ("random", "$random() < 1"),
    ),
    "Texts": (
        ("string", "$string(event.total)"),
        ("length", "$length(event.id)"),
        ("trim", "$trim(event.name)"),
        ("uppercase", "$uppercase(event.customer.first)"),
        ("lowercase", "$lowercase(event.customer.first)"),
        ("contains", "$contains(event.name, 'Ada')"),
        ("substring", "$substring(event.at, 0, 10)"),
        ("substringBefore", "$substringBefore(event.at, 'T')"),
        ("substringAfter", "$substringAfter(event.at, 'T')"),
        ("split", "$split('a, b', ', ')"),
        ("join", "$join(event.tags, '-')"),
        ("pad", "$pad(event.id, -6, '0')"),
        ("replace", "$replace(event.id, /^0+/, '')"),
        ("match", "$match(event.at, /[0-9]{4}/).match"),
        ("base64encode", "$base64encode('Ada')"),
        ("base64decode", "$base64decode('QWRh')"),
        ("encodeUrlComponent", "$encodeUrlComponent('a b/c')"),
        ("decodeUrlComponent", "$decodeUrlComponent('a%20b%2Fc')"),
        ("encodeUrl", "$encodeUrl('https://example.com/a b')"),
        ("decodeUrl", "$decodeUrl('https://example.com/a%20b')"),
    ),
    "Objects": (
        ("keys", "$keys(event.customer)"),
        ("lookup", "$lookup(event.customer, 'first')"),
        ("merge", "$merge([event.customer, {'first': 'Augusta'}])"),
        ("each", "$each(event.customer, function($value, $key) { $key & '=' & $value })"),
        ("sift", "$sift(event.customer, function($value, $key) { $key = 'last' })"),
        ("spread", "$spread(event.customer)"),
        ("clone", "$clone(event.customer)"),
    ),
    "Times": (
        ("now", "$now()"),
        ("millis", "$millis()"),
        ("toMillis", "$toMillis(event.at)"),
        ("fromMillis", "$fromMillis($toMillis(event.at), '[D].[M].[Y]')"),
    ),
    "True and false, errors": (
        ("exists", "$exists(event.discount)"),
        ("boolean", "$boolean(event.tags)"),
        ("not", "$not(event.paid)"),
        ("type", "$type(event.lines)"),
        ("assert", "$assert(event.total > 0, 'nothing to pay')"),
        ("error", "event.total > 0 ? 'fine' : $error('nothing to pay')"),
    ),
}


def functions() -> str:
    """The functions of expressions, each with an example that is run."""
    lacking = LIBRARY.keys() ^ {name for each in EXAMPLES.values() for name, _ in each}
    assert not lacking, f"EXAMPLES lacks, or has too many of: {', '.join(sorted(lacking))}"
    event = codec.encode(EVENT).decode()
    parts = [
        "# Functions of expressions\n",
        NOTE
        + "All that an expression of a YAML integration can call, and `expr` in Python. They are "
        "[JSONata's](https://docs.jsonata.org/overview) but for "
        + ", ".join(f"`${name}`" for name in OWN)
        + ". The examples read this event, at the time that it names:\n",
        f"```json\n{event}\n```\n",
    ]
    now = datetime.fromisoformat(EVENT["at"])
    for title, examples in EXAMPLES.items():
        parts.append(f"## {title}\n\n| function | gives | example | result |\n|---|---|---|---|")
        for name, text in examples:
            said, call = function_help(name)
            found = Expression.parse(text).named().evaluate(Scope({"event": EVENT}, now, "docs"))
            result = "nothing" if found is UNSET else f"`{codec.encode(found).decode()}`"
            cells = (f"`{call}`", said, f"`{text}`", result)
            parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        parts.append("")
    return "\n".join(parts)


# The figures ----------------------------------------------------------------------------------

BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
COLUMNS = {
    "flows/s": "flows_per_s",
    "acks/s": "acks_per_s",
    "flows/s ÷ raw commits/s": "ratio_to_raw",
    "ack p50": "ack_p50_ms",
    "ack p99": "ack_p99_ms",
    "at the destination p50": "delivered_p50_ms",
    "p99": "delivered_p99_ms",
    "CPU ms a flow": "cpu_ms_per_flow",
    "the database's": "store_cpu_ms_per_flow",
    "RSS MiB": "rss_mib",
    "bytes a flow": "stored_bytes_per_flow",
    "lost": "lost",
    "doubled": "doubled",
}


def with_figures(name: str, text: str) -> str:
    """A page, with the figures of the newest results that are committed in their place."""
    before, _, rest = (HERE / name).read_text().partition(BEGIN)
    return f"{before}{BEGIN}\n{text}{END}{rest.partition(END)[2]}"


def figures() -> str:
    """The newest run on each store as tables."""
    titles = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
    parts = [promised(titles)]
    for store, title in titles.items():
        for file in reversed(results_of(store)):
            if any("workload" in each for each in lines_of(file)):
                parts.append(f"### On {title}\n\n{newest_of(file)}")
                break
    return "\n".join(parts)


def results_of(store: str) -> list[Path]:
    """The files of a store's full runs, the newest last."""
    return sorted((HERE.parent / "bench" / "results").glob(f"*-{store}-*-full.jsonl"))


def lines_of(file: Path) -> list[dict[str, Any]]:
    """The lines of a file."""
    return [json.loads(line) for line in file.read_text().splitlines()]


def newest_rows(store: str) -> dict[str, dict[str, Any]]:
    """The newest line of each that is held to a target."""
    lines = [line for file in results_of(store) for line in lines_of(file)]
    return {line["row"]: line for line in lines if "row" in line}


def promised(titles: Mapping[str, str]) -> str:
    """The promises, and the newest measurement of each."""
    rows = [
        f"| {line['title']}{'' if store == 'sqlite' else f', on {title}'} | {line['value']:,.4g} "
        f"| {line['target']} | {'kept' if is_kept(line) else '**missed**'} "
        f"| {line.get('others_cores', '–')} | `{line['commit']}` |"
        for store, title in titles.items()
        for line in newest_rows(store).values()
    ]
    head = (
        "| what is promised | measured | wanted | | others, cores | revision |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
    )
    return f"{head}{chr(10).join(rows)}\n"


def scale() -> str:
    """Two workers beside one, in the newest run."""
    line = newest_rows("postgresql").get("scale")
    if line is None:
        return "Not measured yet.\n"
    rows = [("one worker", line["one_worker_per_s"]), ("two", line["two_workers_per_s"])]
    shown = "\n".join(f"| {title} | {rate:,.1f} |" for title, rate in rows)
    ratios = ", ".join(f"{each:.2f}" for each in line["ratios"])
    return (
        f"| | flows/s |\n| --- | --- |\n{shown}\n| ratio | {line['value']:.2f} |\n\n"
        f"Of revision `{line['commit']}`: medians of {line['runs']} runs in turn, of "
        f"{line['flows']:,} flows each, on {line['cores']} cores, which PostgreSQL and the benchmark "
        f"use too; other programs kept {line['others_cores']:.2f} cores busy meanwhile. Run by run the "
        f"ratio was {ratios}. A flow takes {line['worker_ms']:.1f} ms of a worker, and "
        f"{line['beside_ms']:.1f} of PostgreSQL and the benchmark, so that these cores allow "
        f"{line['most']:.2f} at the most.\n"
    )


def newest_of(file: Path) -> str:
    """The newest run of each workload in a file."""
    ran = [each for each in lines_of(file) if "workload" in each]
    newest = {each["workload"]: each["at"] for each in ran}
    last = [each for each in ran if each["at"] == newest[each["workload"]]]
    last.sort(key=lambda each: each["workload"])
    runs = [each for each in last if "peer" not in each]
    beside = [each for each in last if "peer" in each]
    first = max(runs, key=lambda each: each["at"])
    rows = [
        f"| | {' | '.join(each['workload'] for each in runs)} |",
        "| --- " * (1 + len(runs)) + "|",
    ]
    for title, key in COLUMNS.items():
        values = [each.get(key) for each in runs]
        if any(values) or key in ("lost", "doubled"):
            shown = ("–" if each is None else f"{each:,.4g}" for each in values)
            rows.append(f"| {title} | {' | '.join(shown)} |")
    database = f"SQLite {first['sqlite']}" if "sqlite" in first else database_of(first)
    note = f" {first['note']}" if first.get("note") else ""
    return (
        f"`bench/results/{file.name}`, of revision `{first['commit']}`: medians of {first['runs']} "
        f"run{'s' if first['runs'] != 1 else ''} on {first['cores']} cores{company(first)}, "
        f"{first['filesystem']}, Python {first['python']}, {database}; times in milliseconds. "
        f"The raw rate of one-row commits from 32 tasks in the same run was "
        f"{first['raw_32_per_s']:,.0f}/s.{note}\n\n" + "\n".join(rows) + "\n"
    ) + peers(runs, beside)


def company(line: Mapping[str, Any]) -> str:
    """The share of the machine that others used; runs before that was measured had much company."""
    cores = line.get("others_cores")
    return " that others used too" if cores is None else f", of which others used {cores:.2f}"


def database_of(line: dict[str, Any]) -> str:
    """PostgreSQL and its settings."""
    settings = ", ".join(f"{name}={value}" for name, value in line["settings"].items())
    return f"PostgreSQL {line['postgresql']} ({settings})"


PEER_COLUMNS = {
    "flows/s": "flows_per_s",
    "at the destination p50": "delivered_p50_ms",
    "p99": "delivered_p99_ms",
    "CPU ms a flow": "cpu_ms_per_flow",
    "RSS MiB": "rss_mib",
}


def peers(runs: list[dict[str, Any]], beside: list[dict[str, Any]]) -> str:
    """Ours and its peers in the same run; nothing where it had none."""
    if not beside:
        return ""
    rows = [
        f"| | {' | '.join(PEER_COLUMNS)} | lost | doubled |",
        "| --- " * (3 + len(PEER_COLUMNS)) + "|",
    ]
    for ours in runs:
        rows.append(peer_row(f"**{ours['workload']}** Halflap", ours, {}))
        rows += [
            peer_row(each["peer"], each, each["ours_better"])
            for each in beside
            if each["workload"] == ours["workload"]
        ]
    setups = {each["peer"]: each for each in beside}
    notes = [
        f"- **{name}** {each['version']} on Node {each['node']}: {each['setup']}. "
        + "; ".join(
            f"{one['workload']}: {one['differs']}"
            for one in beside
            if one["peer"] == name and one["differs"]
        )
        + ".\n"
        for name, each in setups.items()
    ]
    return (
        "\n#### Beside its peers\n\n"
        "In the same run, in turn, with the same load generator and destination; in brackets by how "
        "many times Halflap is better. A peer's flows are counted where they arrive, its CPU and "
        "memory are of all its processes, and it was warmed up by a flood before the measured one.\n\n"
        + "\n".join(rows)
        + "\n\n"
        + "".join(notes)
    )


def peer_row(title: str, line: dict[str, Any], better: Mapping[str, float | None]) -> str:
    """One line of the table of peers."""
    cells: list[str] = []
    for key in PEER_COLUMNS.values():
        shown = "–" if line[key] is None else f"{line[key]:,.4g}"
        ratio = better.get(key)
        cells.append(f"{shown} ({ratio:,.3g} ×)" if ratio else shown)
    return f"| {' | '.join([title, *cells, str(line['lost']), str(line['doubled'])])} |"


# The command line -----------------------------------------------------------------------------


def commands(
    command: click.Command, context: click.Context
) -> Iterator[tuple[click.Command, click.Context]]:
    """A command and all commands below it, hidden ones left out."""
    yield command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from commands(below, click.Context(below, info_name=name, parent=context))


def cli() -> str:
    """The page of the command line."""
    context = click.Context(main, info_name="halflap", max_content_width=100)
    parts = [
        NOTE,
        "# Command line\n\n",
        "What `halflap --help` and the help of every command below it say, on one page.\n\n",
    ]
    for command, ctx in commands(main, context):
        depth = ctx.command_path.count(" ")
        parts.append(f"{'#' * min(depth + 2, 4)} `{ctx.command_path}`\n\n")
        parts.append(f"```text\n{' '.join([ctx.command_path, *pieces(command, ctx)])}\n```\n\n")
        parts.append(f"{prose(command.help or '')}\n\n")
        parts.append(options(command, ctx))
        if isinstance(command, click.Group):
            parts.append(below(command, ctx))
    return "".join(parts).rstrip() + "\n"


def pieces(command: click.Command, ctx: click.Context) -> list[str]:
    """The rest of a usage line."""
    return [each for each in command.collect_usage_pieces(ctx) if each]


def options(command: click.Command, ctx: click.Context) -> str:
    """The table of a command's options."""
    rows = [
        f"| `{shown}` | {cell(text)} |\n"
        for each in command.get_params(ctx)
        if isinstance(each, click.Option)
        and "--help" not in each.opts
        and (record := each.get_help_record(ctx)) is not None
        for shown, text in [record]
    ]
    return f"| option | |\n| --- | --- |\n{''.join(rows)}\n" if rows else ""


def below(group: click.Group, ctx: click.Context) -> str:
    """The list of a group's commands."""
    rows: list[str] = []
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if command is not None and not command.hidden:
            path = f"{ctx.command_path} {name}"
            rows.append(
                f"| [`{path}`](#{path.replace(' ', '-')}) | {command.get_short_help_str(200)} |\n"
            )
    return f"| command | |\n| --- | --- |\n{''.join(rows)}\n"


# Settings -------------------------------------------------------------------------------------


def metrics() -> str:
    """The metrics of a server."""
    rows = ["| metric | type | label | meaning |", "| --- | --- | --- | --- |"]
    rows += [
        f"| `{each.sample}` | {each.type} | {f'`{each.label}`' if each.label else ''} | {each.help} |"
        for each in METRICS
    ]
    return METRICS_PAGE.format(table="\n".join(rows))


METRICS_PAGE = """# Metrics

A server that listens writes its metrics as OpenMetrics text at `/metrics`, for Prometheus and what reads
the same format. It wants a token: that of the API, or `HALFLAP_METRICS_TOKEN`, which reads nothing else.

```yaml
scrape_configs:
  - job_name: halflap
    authorization: {{credentials_file: /etc/prometheus/halflap-metrics-token}}
    static_configs:
      - targets: ["127.0.0.1:8400"]
```

Metrics of this process add up over processes; live executions, dead letters, the oldest due, and what is
parked or rests are the store's, the same at every process: take the maximum. They are missing
while the store does not answer; `halflap_store_up` is 0 then, and while it takes no write (a full
disk, say). No label has a customer's name, or any other that grows with their number.

{table}

Worth an alert:

```yaml
groups:
  - name: halflap
    rules:
      - {{alert: HalflapDown, expr: 'up{{job="halflap"}} == 0', for: 1m}}
      - {{alert: HalflapStoreDown, expr: halflap_store_up == 0, for: 1m}}
      - {{alert: HalflapRefuses, expr: 'sum(rate(halflap_hook_answers_total{{status="503"}}[5m])) > 0'}}
      - {{alert: HalflapIsBehind, expr: max(halflap_oldest_due_seconds) > 60, for: 2m}}
      - {{alert: HalflapConnectionParked, expr: max(halflap_connections_parked) > 0, for: 15m}}
      - {{alert: HalflapDeadLetters, expr: 'max(delta(halflap_dead_letters[1h])) > 0'}}
      - {{alert: HalflapShortOfFiles, expr: process_open_fds / process_max_fds > 0.8}}
```

See [operating](../operate.md#probes).
"""


def settings() -> str:
    """The page of the settings."""
    plain = [each for each in dataclasses.fields(Settings) if each.name != "remotes"]
    rows = [
        f"| `{PREFIX}{each.name.upper()}` | {shown_default(each)} | {cell(about(each))} |\n"
        for each in plain
    ]
    (remotes,) = (each for each in dataclasses.fields(Settings) if each.name == "remotes")
    return (
        f"{NOTE}# Settings\n\n"
        f"{own_doc(Settings)} They come from the environment; commands in a project also read them "
        "from its `.env`. The environment stands above `.env`, and what is given on the command "
        "line above both. A `HALFLAP_…` variable that is no setting, and a value that is not "
        "allowed, are errors that say what is.\n\n"
        f"| variable | default | what it is |\n| --- | --- | --- |\n{''.join(rows)}\n"
        f"{about(remotes)}\n"
    )


def about(field: dataclasses.Field[Any]) -> str:
    """The meaning of a setting, and its range."""
    least, most = field.metadata.get("least"), field.metadata.get("most")
    ending = "" if least is None or most is None else f" From {least:,} to {most:,}."
    return field.metadata["what"] + ending


def shown_default(field: dataclasses.Field[Any]) -> str:
    """A default as it would be written in the environment."""
    value = field.default
    if isinstance(value, tuple):
        value = ",".join(cast("tuple[str, ...]", value))
    if value == "":
        return ""
    return f"`{value}`"


# Components -----------------------------------------------------------------------------------


def built_in() -> list[Component]:
    """The components that come with Halflap: what every integration takes first, then the apps."""
    first = ("http", "webhook", "schedule", "instance")
    ours = [each.name for each in iter_modules(halflap.components.__path__)]
    names = (*first, *(each for each in ours if each not in first))
    modules = [import_module(f"halflap.components.{each}") for each in names]
    return [each.component for each in modules if hasattr(each, "component")]


def components() -> str:
    """The page of the components that come with Halflap."""
    parts = [
        NOTE,
        "# Built-in components\n\n",
        "They use the public door, as yours do. Each is imported from `halflap`: `from halflap import "
        "http, salesforce`.\n\n",
    ]
    for component in built_in():
        parts.append(f"## {component.title}\n\n")
        module = import_module(f"halflap.components.{component.name}")
        parts.append(f"{component.description or summary(module)}\n\n")
        if component.connection is not None:
            parts.append(connection(component.connection))
        shown: dict[type[BaseModel], str] = {}
        for kind, found in (("action", component.actions), ("trigger", component.triggers)):
            for each in found.values():
                parts.append(f"### `{each.name}`\n\nA{'n' if kind == 'action' else ''} {kind}. ")
                if isinstance(each, SpecifiedAction):
                    parts.append(specified(each))
                    continue
                parts.append(f"{prose(inspect.getdoc(each.function) or '')}\n\n")
                parts.append(inputs(each))
                if kind == "trigger":
                    parts.append(payloads(each.shape.output, shown))
    return "".join(parts).rstrip() + "\n"


def catalogue() -> str:
    """The catalogue of the components: what each does, and what it was proven by."""
    said = load_quality(Path(halflap.components.__path__[0]) / "quality.yaml")
    pages = {each.stem for each in (HERE / "components").glob("*.md")}
    rows: list[str] = []
    for component in built_in():
        quality = Quality.model_validate(said[component.name])
        page = f"{component.name}.md" if component.name in pages else "../reference/components.md"
        hears = ", ".join(f"`{each}`" for each in component.triggers) or "–"
        proven = "; ".join(quality.proven) or "–"
        missing = "; ".join(quality.missing) or "–"
        cells = (
            f"{icon(component.title)} [{component.title}]({page})",
            f"{len(component.actions) or '–'}",
            hears,
            cell(quality.keys or "–"),
            cell(proven),
            cell(missing),
        )
        rows.append(f"| {' | '.join(cells)} |\n")
    return (
        f"{NOTE}# Catalogue\n\nWhat each component does, and what it was proven by. Where one speaks "
        "HTTP, each of its actions was called against a server that refuses, limits, hangs and repeats "
        "([what it is proven by](../author-guide/components.md#what-it-is-proven-by)).\n\n"
        "| component | actions | triggers | repeated requests | proven by | not there |\n"
        f"| --- | --- | --- | --- | --- | --- |\n{''.join(rows)}"
    )


def icon(title: str) -> str:
    """A component's icon: its initial on a colour of its own."""
    hue = zlib.crc32(title.encode()) % 360
    return (
        '<svg width="20" height="20" viewBox="0 0 24 24" role="img" aria-hidden="true">'
        f'<rect width="24" height="24" rx="5" fill="hsl({hue} 45% 38%)"/>'
        '<text x="12" y="16.5" font-family="sans-serif" font-size="12" text-anchor="middle" '
        f'fill="#fff">{title[0].upper()}</text></svg>'
    )


def specified(each: SpecifiedAction) -> str:
    """The description of an action that is declared from a specification, and its inputs in short."""
    known = [(one, published(one.annotation)) for one in each.shape.inputs]
    first = [f"`{one.name}`" for one, schema in known if "x-more" not in schema]
    more = [f"`{one.name}`" for one, schema in known if "x-more" in schema]
    parts = [prose(each.description)]
    if first:
        parts.append(f"Inputs: {', '.join(first)}" + (f"; and {', '.join(more)}." if more else "."))
    return "\n\n".join(parts) + "\n\n"


def connection(kind: type[Any]) -> str:
    """The fields of a connection."""
    rows = [
        f"| `{name}` | {'required' if field.is_required() else ''} "
        f"| {cell(field.description or '')} |\n"
        for name, field in kind.model_fields.items()
    ]
    return (
        f"The connection `{kind.__name__}`: {prose(inspect.getdoc(kind) or '')}\n\n"
        f"| field | | |\n| --- | --- | --- |\n{''.join(rows)}\n{sign_ins(kind)}"
    )


def sign_ins(kind: type[BaseModel]) -> str:
    """The ways of signing in that a connection's `auth` has, each with the fields that it asks for."""
    auth = kind.model_fields.get("auth")
    rows: list[str] = []
    for model in models_in(auth.annotation) if auth is not None else ():
        schema = model.model_json_schema()
        asked, required = schema["properties"], schema.get("required", ())
        fields = [
            f"`{name}`{'' if name in required else ' (optional)'}"
            for name in asked
            if name != "kind"
        ]
        about = prose(inspect.getdoc(model) or "").split("\n\n")[0]
        if "kind" in asked:
            rows.append(f"| `{asked['kind']['const']}` | {', '.join(fields)} | {cell(about)} |\n")
    return f"| `auth.kind` | its fields | |\n| --- | --- | --- |\n{''.join(rows)}\n" if rows else ""


def inputs(each: Any) -> str:
    """The table of the inputs of an action or a trigger."""
    written: Mapping[str, Any] = each.function.__annotations__
    about = {one.name: field_of(one.annotation) for one in each.shape.inputs}
    what = any(field is not None for field in about.values())
    rows = [
        f"| `{one.name}` | `{cell(type_of(str(written[one.name]), one.annotation))}` "
        f"| {'required' if one.required else f'`{default(one.default)}`'} |"
        f"{f' {cell(description(about[one.name]))} |' if what else ''}\n"
        for one in each.shape.inputs
    ]
    head = "| input | type | default |" + (" what it is |" if what else "")
    line = "| --- " * (4 if what else 3) + "|"
    return f"{head}\n{line}\n{''.join(rows)}\n" if rows else ""


def payloads(output: Any, shown: dict[type[BaseModel], str]) -> str:
    """The fields of what a trigger's flow is given, where that is a model; once for a component."""
    parts: list[str] = []
    for model in models_in(output):
        if model in shown:
            parts.append(f"Its event may be {shown[model]}, as above.\n\n")
            continue
        shown[model] = f"`{model.__name__}`"
        parts.append(f"The event `{model.__name__}`: {prose(inspect.getdoc(model) or '')}\n\n")
        rows = [*fields_of(model)]
        what = any(about for *_, about in rows)
        parts.append("| field | type |" + (" what it is |" if what else ""))
        parts.append("\n" + "| --- " * (3 if what else 2) + "|\n")
        for name, kind, about in rows:
            parts.append(f"| `{name}` | `{kind}` |{f' {about} |' if what else ''}\n")
        parts.append("\n")
    return "".join(parts)


def fields_of(model: type[BaseModel], above: str = "", depth: int = 2) -> Iterator[Cells]:
    """The fields of a model, and those of the models in it."""
    for name, field in model.model_fields.items():
        kind = re.sub(r"[A-Za-z_][\w.]*\.(?=\w)", "", inspect.formatannotation(field.annotation))
        yield (
            f"{above}{name}",
            cell(kind.replace("NoneType", "None")),
            cell(field.description or ""),
        )
        for inner in models_in(field.annotation) if depth else ():
            yield from fields_of(inner, f"{above}{name}.", depth - 1)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation names, itself or in a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, Annotated):
        for each in get_args(annotation):
            yield from models_in(each)


Cells = tuple[str, str, str]


def field_of(annotation: Any) -> FieldInfo | None:
    """Return what is said of an input beside its type."""
    found = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return next((each for each in found if isinstance(each, FieldInfo)), None)


def description(field: FieldInfo | None) -> str:
    """The description of an input; empty where it has none."""
    return (field.description if field is not None else None) or ""


def type_of(written: str, annotation: Any) -> str:
    """An input's type as it is written, and not the name that a component gives to it."""
    if written.startswith("Annotated["):
        return before_comma(written.removeprefix("Annotated["))
    if not written.isidentifier() or isinstance(annotation, type) or annotation is Any:
        return written
    inner = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return inspect.formatannotation(inner).replace("typing.", "")


def before_comma(written: str) -> str:
    """Return what stands before the first comma that no bracket encloses."""
    depth = 0
    for at, letter in enumerate(written):
        depth += (letter in "[(") - (letter in "])")
        if letter == "," and depth == 0:
            return written[:at]
    return written


# Names of Python ------------------------------------------------------------------------------


def python() -> str:
    """The page of every public name."""
    parts = [
        NOTE,
        "# Names\n\nEverything that `from halflap import …` offers, with its signature.\n\n",
    ]
    for name in sorted(halflap.__all__, key=str.lower):
        value = getattr(halflap, name)
        if isinstance(value, ModuleType):
            text = f"The component `{name}`: {summary(value)} See [built-in components](components.md)."
            parts.append(f"## `{name}`\n\n{text}\n\n")
            continue
        parts.append(f"## `{name}`\n\n")
        if name in VALUES:
            parts.append(f"{VALUES[name]}\n\n")
            continue
        parts.append(signature(name, value))
        parts.append(f"{prose(own_doc(value))}\n\n")
        if inspect.isclass(value) or name == "expr":
            parts.append(members(value if inspect.isclass(value) else type(value)))
    parts.append("# Beside these\n\n")
    for about, value in BESIDE.items():
        name = value.__name__
        parts.append(f"## `{name}`\n\n{about}\n\n{signature(name, value)}")
        parts.append(f"{prose(own_doc(value))}\n\n")
    return "".join(parts).rstrip() + "\n"


def own_doc(value: Any) -> str:
    """A docstring that was written for this very name."""
    return inspect.cleandoc(value.__doc__ or "") if value.__doc__ else ""


def signature(name: str, value: Any) -> str:
    """The way to call a name; nothing where nobody calls it."""
    if inspect.isclass(value):
        silent = issubclass(value, BaseException) and "__init__" not in vars(value)
        if silent or hasattr(value, "model_fields") or getattr(value, "_is_protocol", False):
            return ""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    shown = ", ".join(listed(found))
    result = found.return_annotation
    ending = "" if inspect.isclass(value) or result is found.empty else f" -> {annotated(result)}"
    whole = f"{name}({shown}){ending}"
    if len(whole) > 96:
        lines = "".join(f"    {each},\n" for each in listed(found))
        whole = f"{name}(\n{lines}){ending}"
    return f"```text\n{whole}\n```\n\n"


def listed(signature: inspect.Signature) -> list[str]:
    """Parameters as they are written in a source, with the bare `*` where it stands."""
    written: list[str] = []
    starred = False
    for each in signature.parameters.values():
        if each.kind is each.VAR_POSITIONAL:
            starred = True
        elif each.kind is each.KEYWORD_ONLY and not starred:
            starred = True
            written.append("*")
        mark = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        text = f"{mark}{each.name}"
        if each.annotation is not each.empty:
            text += f": {annotated(each.annotation)}"
        if each.default is not each.empty:
            text += f" = {default(each.default)}"
        written.append(text)
    return written


def annotated(annotation: Any) -> str:
    """An annotation as it is written."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return text.strip('"')


def default(value: Any) -> str:
    """A default value as it is written."""
    if value is ...:
        return "..."
    text = re.sub(r"datetime\.timedelta\(seconds=(\d+)\)", r"timedelta(seconds=\1)", repr(value))
    text = re.sub(r"datetime\.timedelta\(days=(\d+)\)", r"timedelta(days=\1)", text)
    return "..." if text.startswith("<") else text


def members(kind: type[Any]) -> str:
    """The public methods and properties that a class defines itself, one a line."""
    rows: list[str] = []
    for name, member in vars(kind).items():
        if name.startswith(("_", "model_")) or (
            issubclass(kind, HalflapError) and name != "message"
        ):
            continue
        held: Any = getattr(member, "__func__", member)
        if isinstance(held, property):
            rows.append(f"- `{name}`: {first_sentence(held)}\n")
        elif inspect.isfunction(held):
            rows.append(f"- `{name}({', '.join(parameters(held))})`: {first_sentence(held)}\n")
    return f"{''.join(rows)}\n" if rows else ""


def parameters(function: Callable[..., Any]) -> list[str]:
    """The names of a method's parameters."""
    found = inspect.signature(function).parameters.values()
    return [each.name for each in found if each.name not in ("self", "cls")]


# Text -----------------------------------------------------------------------------------------


def prose(text: str) -> str:
    """A docstring as Markdown: what is indented below a line stands as it is."""
    cleaned = inspect.cleandoc(text.replace("\b", ""))
    if re.search(r"^[├└│]", cleaned, re.MULTILINE):
        return f"```text\n{cleaned}\n```"
    return escaped(re.sub(r"\n {4,}", "\n", cleaned))


def escaped(text: str) -> str:
    """Text in which angle brackets and stars outside of code are themselves."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        part if part.startswith("`") else part.replace("<", "&lt;").replace("|", "\\|")
        for part in parts
    )


def cell(text: str) -> str:
    """Text in a table."""
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(text.split()))


def summary(module: Any) -> str:
    """The first sentence of a module's docstring."""
    return (inspect.getdoc(module) or "").splitlines()[0]


def first_sentence(value: Any) -> str:
    """The first sentence of a docstring."""
    text = " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())
    return escaped(text)


def write() -> None:
    """Write the pages."""
    for name, text in pages().items():
        path = HERE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"docs/{name}")


if __name__ == "__main__":
    write()
