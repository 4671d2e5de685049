"""A fetch that is killed leaves nothing torn at a final name, and the next one finishes without leaving litter."""

import subprocess
import sys
import time
from pathlib import Path
from threading import Event

import pytest
from faulty_web import OTHER, PAYLOAD, Exchange, faulty_web

from em_assets.model import Source
from em_assets.sources import acquire
from em_assets.sources.origins import PUBLIC_ORIGIN

FILES = {"a.tif": PAYLOAD, "b.tif": OTHER, "c.tif": PAYLOAD[:50_000], "d.tif": b"II*\0small"}
TOTAL = sum(map(len, FILES.values()))
WHOLE = {*FILES, "manifest.parquet", "lock.toml", ".lock"}
FETCHING = """
import sys
from pathlib import Path
from em_assets.model import Source
from em_assets.sources import acquire, partial
from em_assets.sources.origins import PUBLIC_ORIGIN
partial.NOTED_EVERY_S = 0.0
acquire([Source(url=sys.argv[1])], PUBLIC_ORIGIN, Path(sys.argv[2]), log=str)
"""


def slowly(x: Exchange, ending: Event) -> bool:
    """An index page, and files that take a moment."""
    name = x.path.removeprefix("/d/")
    if not name:
        x.plain("".join(f'<a href="{name}">x</a>' for name in FILES).encode())
        return True
    x.ranged(FILES[name], 0)
    rest = FILES[name][x.start if "if-range" in x.headers else 0 :]
    for at in range(0, len(rest) if x.method == "GET" else 0, 10_000):
        x.body(rest[at : at + 10_000])
        ending.wait(0.001)
    return True


def kill_and_finish(point: int, raw_dir: Path) -> None:
    """Kill a fetch once so many bytes have been sent; look at what is visible; fetch again."""
    with faulty_web({"d": slowly}) as web:
        url = f"{web.url}/d/"
        fetching = subprocess.Popen([sys.executable, "-c", FETCHING, url, str(raw_dir)])
        while fetching.poll() is None and sum(web.sent.values()) < point:
            time.sleep(0.0005)
        fetching.kill()
        fetching.wait()
        for path in raw_dir.glob("files/*.tif"):
            assert path.read_bytes() == FILES[path.name]
        again = acquire([Source(url=url)], PUBLIC_ORIGIN, raw_dir, log=str)
    assert {row.path: row.size_bytes for row in again.files} == {name: len(FILES[name]) for name in FILES}
    for name, content in FILES.items():
        assert (raw_dir / "files" / name).read_bytes() == content
    assert {path.name for path in raw_dir.rglob("*") if path.is_file()} == WHOLE


@pytest.mark.parametrize("tenth", [1, 4, 8])
def test_a_killed_fetch_is_finished_by_the_next(tmp_path: Path, tenth: int) -> None:
    kill_and_finish(tenth * TOTAL // 10, tmp_path / "raw")


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_fetch_killed_at_200_points_is_finished_by_the_next(tmp_path: Path) -> None:
    for number in range(200):
        kill_and_finish(number * TOTAL // 200, tmp_path / str(number))
