"""Compare the JSONata libraries on PyPI, and ours: the official suite, digits, hostility, speed.

    python -m bench.experiments.jsonata_libraries [LIBRARY …]

Each library in an environment of its own (`uv run --with`, which fetches it from PyPI), in turn:

- how many of the 1,686 cases of JSONata's own suite end as they should (an error for an error);
- whether decimals and large integers keep their digits;
- how many hostile expressions crash, do not end within a second of the processor, or need more
  than 64 MiB, with every limit set that the library offers;
- microseconds to read and to evaluate the article's amount, and to evaluate `event.Id`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from bench.experiments.jsonata_hostile import HOSTILE

HERE = Path(__file__).parent
LIBRARIES = {
    "halflap": "",
    "jlens": "jlens==0.25.0",
    "jsonata": "jsonata==0.2.5",
    "jsonata-python": "jsonata-python==0.7.1",
    "jsonata-rs": "jsonata-rs==0.1.4",
    "jsonata2py": "jsonata2py==0.1.3",
    "jsonatago": "jsonatago==0.2.6",
    "jsonatapy": "jsonatapy==2.2.13",
    "zopyx-pyjsonata": "zopyx-pyjsonata==0.3.7",
}


def measured(name: str) -> dict[str, object] | None:
    """Return what the worker found out about a library; None where it could not be run."""
    worker = [str(HERE / "jsonata_worker.py"), name]
    python = [sys.executable]
    if requirement := LIBRARIES[name]:
        python = ["uv", "run", "--quiet", "--no-project", "--isolated", "--python", sys.executable]
        python += ["--with", requirement, "python"]
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[1])}
    ran = subprocess.run([*python, *worker], capture_output=True, env=environment)
    lines = ran.stdout.decode().splitlines()
    if ran.returncode or not lines:
        print(f"{name}: {ran.stderr.decode()[-300:]}", file=sys.stderr)
        return None
    return json.loads(lines[-1])


def main() -> None:
    print(
        "| library | suite | decimals | integers | hostile failed | read µs | amount µs | field µs |"
    )
    print("| --- | ---: | --- | --- | ---: | ---: | ---: | ---: |")
    for name in sys.argv[1:] or LIBRARIES:
        found = measured(name)
        if found is None:
            continue
        failed = found["hostile_failed"]
        print(
            f"| {LIBRARIES[name].replace('==', ' ') or 'ours'} | {found['suite']} "
            f"| {'exact' if found['decimals'] else 'no'} | {'exact' if found['integers'] else 'no'} "
            f"| {len(failed)} of {len(HOSTILE)} | {found['parse_us']:.0f} "
            f"| {found['evaluate_us']:.1f} | {found['field_us']:.1f} |",
            flush=True,
        )
        print(f"{name}: {', '.join(failed)}", file=sys.stderr)


if __name__ == "__main__":
    main()
