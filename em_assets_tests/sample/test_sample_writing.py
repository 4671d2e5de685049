import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from em_assets.sample import write_sources
from em_assets.sample.texture import texture

MEGABYTE = 1_000_000


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_two_writings_give_the_same_bytes_in_few_seconds_and_megabytes(look_alikes: Path, tmp_path: Path) -> None:
    before = time.process_time()
    write_sources(tmp_path / "again")
    assert time.process_time() - before < 6
    assert digests(tmp_path / "again") == digests(look_alikes)
    assert sum(path.stat().st_size for path in look_alikes.rglob("*") if path.is_file()) < 45 * MEGABYTE


def test_every_file_has_the_same_time_so_that_listings_do_not_tell_runs_apart(look_alikes: Path) -> None:
    times = {path.stat().st_mtime for path in look_alikes.rglob("*")}
    assert times == {1705276800.0}


def test_what_was_changed_by_hand_stays(tmp_path: Path) -> None:
    write_sources(tmp_path / "sample_sources")
    changed = tmp_path / "sample_sources/http/sample.em-assets.invalid/em_labels_sample/em.tif"
    changed.write_bytes(b"changed")
    write_sources(tmp_path / "sample_sources")
    assert changed.read_bytes() == b"changed"


def test_a_folder_of_another_format_or_half_written_is_written_anew(look_alikes: Path, tmp_path: Path) -> None:
    root = tmp_path / "sample_sources"
    (root / "http").mkdir(parents=True)
    (root / "sample.json").write_text(json.dumps({"format": 0}))
    (tmp_path / ".sample_sources-new" / "http").mkdir(parents=True)  # of a process that was killed
    write_sources(root)
    assert digests(root) == digests(look_alikes)
    assert {path.name for path in tmp_path.iterdir()} <= {"sample_sources", ".sample_sources.lock"}


def test_two_processes_may_ask_for_one_folder_at_once(look_alikes: Path, tmp_path: Path) -> None:
    root = tmp_path / "store" / "sample_sources"
    code = "import sys; from pathlib import Path; from em_assets.sample import write_sources; "
    command = [sys.executable, "-c", code + "write_sources(Path(sys.argv[1]))", str(root)]
    processes = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    assert digests(root) == digests(look_alikes)


def test_texture_is_the_seeds_own_and_nowhere_flat() -> None:
    grey = texture((40, 50, 60), seed=3)
    assert np.array_equal(grey, texture((40, 50, 60), seed=3))
    assert not np.array_equal(grey, texture((40, 50, 60), seed=4))
    assert min(plane.std() for plane in grey) > 10
    assert len({plane.tobytes() for plane in grey}) == 40
