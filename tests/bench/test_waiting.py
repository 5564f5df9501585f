from pathlib import Path

import pytest

from bench import waiting
from bench.stores import keeper


async def test_what_waits_is_woken_and_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "WARM", 20)
    monkeypatch.setattr(waiting, "WOKEN", 10)
    monkeypatch.setattr(waiting, "REST_SECONDS", 0.01)
    with keeper("sqlite", tmp_path) as kept, kept.fresh() as store:
        found = await waiting.measure(store, 100)
    assert (found["waiting"], found["woken"]) == (100, 10)
    assert found["rss_mib"] > 0
