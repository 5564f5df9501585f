"""A `bench.server` that counts the bytecodes of its loop between SIGUSR1 and SIGUSR2, by function.

A module of its own, without others of this package: it is put into checkouts of earlier revisions.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

COUNTED = "HALFLAP_BENCH_COUNTED"
"""The file into which is written what was counted."""


def main() -> None:
    """Serve, and count."""
    counts: Counter[CodeType] = Counter()

    def trace(frame: FrameType, event: str, _: Any) -> Callable[..., Any]:
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            counts[frame.f_code] += 1
        return trace

    def end(*_: object) -> None:
        sys.settrace(None)
        found = [(each.co_filename, each.co_qualname, number) for each, number in counts.items()]
        part = Path(f"{os.environ[COUNTED]}.part")
        part.write_text(json.dumps(found))
        part.rename(os.environ[COUNTED])

    signal.signal(signal.SIGUSR1, lambda *_: sys.settrace(trace))
    signal.signal(signal.SIGUSR2, end)
    runpy.run_module("bench.server", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
