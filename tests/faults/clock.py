"""Wall clocks that are set while processes run: of a database, or of Halflap; monotonic ones go on."""

from __future__ import annotations

import shutil
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

LIBRARY = "libfaketime.so.1"


class WallClock:
    """The wall clock of what is started `before` or `environment` says how."""

    def __init__(self) -> None:
        self._folder = Path(mkdtemp(prefix="halflap-clock-"))
        self._folder.chmod(0o755)  # the database's user looks at it, too
        self.set(timedelta())

    def set(self, ahead: timedelta) -> None:
        """Set it so far ahead of the real one."""
        draft = self._folder / "draft"
        for name, unit in (("faketime", "s"), ("seconds", "")):
            draft.write_text(f"{ahead.total_seconds():+.0f}{unit}")
            draft.replace(self._folder / name)

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a process of Halflap that is `settable` (tests/faulty.py)."""
        return {"CLOCK": str(self._folder / "seconds")}

    @property
    def before(self) -> tuple[str, ...]:
        """Return the start of a database's command: libfaketime, which looks every second or two.

        It makes Python's threads slow, so it is not for Halflap itself.
        """
        environment = {
            "LD_PRELOAD": library(),
            "FAKETIME_TIMESTAMP_FILE": self._folder / "faketime",
            "FAKETIME_CACHE_DURATION": 1,
            "DONT_FAKE_MONOTONIC": 1,
            "FAKETIME_DONT_FAKE_MONOTONIC": 1,
        }
        return ("env", *(f"{name}={value}" for name, value in environment.items()))

    def close(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self._folder)


@cache
def library() -> Path | None:
    """Where libfaketime is; None where it is not installed."""
    places = (*Path("/usr/lib").glob("*/faketime"), *Path("/usr").glob("lib*/faketime"))
    return next((each / LIBRARY for each in places if (each / LIBRARY).exists()), None)
