"""A host is asked over so many connections as it is given, by all processes together."""

import errno
import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty_web import Exchange, faulty_web

from em_assets.errors import StoreError
from em_assets.model import Source
from em_assets.sources import acquire
from em_assets.sources.hosts import Host, host_of
from em_assets.sources.origins import PUBLIC_ORIGIN

HOLDING = """
import sys, time
from pathlib import Path
from em_assets.sources.hosts import Host
with Host("a.org", 1, Path(sys.argv[1])).line():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("url", "limit"),
    [
        ("https://ftp.ebi.ac.uk/empiar/x/", 3),
        ("ftp://ftp.ebi.ac.uk/empiar/x/", 3),
        ("ftp://a.org/x", 2),
        ("https://a.org/x", 4),
        ("s3://bucket/x", 32),
        ("gs://bucket/x", 32),
    ],
)
def test_each_kind_of_host_has_its_limit(tmp_path: Path, url: str, limit: int) -> None:
    assert host_of(url, tmp_path, None, str).limit == limit


def test_a_setting_never_takes_more_of_a_polite_host(tmp_path: Path) -> None:
    assert host_of("https://ftp.ebi.ac.uk/x", tmp_path, 16, str).limit == 3
    assert host_of("https://ftp.ebi.ac.uk/x", tmp_path, 2, str).limit == 2
    assert host_of("https://a.org/x", tmp_path, 16, str).limit == 16


def test_both_protocols_of_a_host_share_its_connections(tmp_path: Path) -> None:
    by_ftp, by_web = (host_of(f"{scheme}://ftp.ebi.ac.uk/x", tmp_path, None, str) for scheme in ("ftp", "https"))
    with by_ftp.line(), by_web.line(), by_web.spare_lines(9) as more:
        assert more == 1


def test_no_more_than_the_limit_are_held_and_a_waiting_one_gets_its_turn(tmp_path: Path) -> None:
    host = Host("a.org", 2, tmp_path)
    held, most, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal held, most
        for _ in range(20):
            with host.line():
                with lock:
                    held += 1
                    most = max(most, held)
                with lock:
                    held -= 1

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert held == 0
    assert 1 <= most <= 2


def test_another_process_holds_a_connection_until_it_dies(tmp_path: Path) -> None:
    host = Host("a.org", 1, tmp_path)
    other = subprocess.Popen([sys.executable, "-c", HOLDING, str(tmp_path)], stdout=subprocess.PIPE)
    assert other.stdout is not None
    try:
        assert other.stdout.readline() == b"held\n"
        with host.spare_lines(1) as n_free:
            assert n_free == 0
    finally:
        other.kill()
        other.communicate()
    with host.line(), host.spare_lines(1) as n_free:
        assert n_free == 0
    with host.spare_lines(1) as n_free:
        assert n_free == 1


@pytest.mark.parametrize("reason", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_store_without_locks_is_said_and_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    """Some network disks have none; only the system can say so, and no disk of a test machine does."""

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(fcntl, "flock", refuse)
    is_ended = iter([False, True])
    host = Host("a.org", 1, tmp_path, is_ended=lambda: next(is_ended))
    with pytest.raises(StoreError, match=r"00\.lock: cannot be locked"), host.line():
        pass


def test_a_file_of_a_fallback_counts_for_the_fallbacks_host(tmp_path: Path) -> None:
    """Each address lists a file of its own; the fallback's is asked for over that host's connections."""
    with faulty_web({"d": listed_as("a.tif")}) as first, faulty_web({"d": listed_as("b.tif")}) as second:
        other = second.url.replace("127.0.0.1", "localhost")
        source = Source(url=f"{first.url}/d/", fallback_urls=(f"{other}/d/",))
        raw = tmp_path / "raw" / "x"
        assert acquire([source], PUBLIC_ORIGIN, raw, log=str).fetched == 2
    assert {path.name for path in (raw.parent / ".hosts").iterdir()} == {"127.0.0.1", "localhost"}


def listed_as(name: str) -> Callable[[Exchange, threading.Event], bool]:
    """A folder with one file."""

    def answer(x: Exchange, _: threading.Event) -> bool:
        x.plain(f'<a href="/d/{name}">{name}</a>'.encode() if x.path == "/d/" else b"II*\0")
        return True

    return answer
