import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from halflap.store.once import make_folder, write_once


def test_a_file_is_written_once_and_whole_for_its_owner_only(tmp_path: Path):
    path = tmp_path / "token"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: write_once(path, str(n) * 10_000), range(8)))
    written = path.read_text()
    assert written == written[0] * 10_000
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_made_with_its_parents_and_may_be_there_already(tmp_path: Path):
    folder = tmp_path / "a" / "b"
    make_folder(folder)
    make_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
