"""Questions that were sent ahead: each answer is its own file's, and one that nobody waits for any more is nobody's."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from faulty_web import Exchange, FaultyWeb, faulty_web

from em_assets.model import RemoteFile
from em_assets.sources.hosts import Host
from em_assets.sources.objects import Objects, Wish
from em_assets.sources.origins import PUBLIC_ORIGIN
from em_assets.sources.sessions import connections_kept
from em_assets.sources.transfer import Demand
from em_assets.sources.wire import Patience

HASTY = Patience(tries=4, first_pause_s=0.005, longest_pause_s=0.02, connect_s=4, read_s=2, stall_s=2, no_news_s=2)
ONE_LINE = Host("", 1)


def content_of(path: str) -> bytes:
    """All files are of one size: nothing but its place in the row tells whose an answer is."""
    return hashlib.sha256(path.encode()).digest() * 100


@contextmanager
def serving(answer: Callable[[Exchange, bytes], bool]) -> Iterator[FaultyWeb]:
    with faulty_web({"d": lambda x, _: answer(x, content_of(x.path))}) as web:
        yield web


def wish(web: FaultyWeb, folder: Path, name: str, demand: Demand = Demand()) -> Wish:  # noqa: B008 - it is immutable
    size_bytes = len(content_of(name))
    return Wish(
        RemoteFile(path=name, url=f"{web.url}/d/{name}", size_bytes=size_bytes, validator=None), folder / name, demand
    )


def are_right(folder: Path) -> bool:
    return all(path.read_bytes() == content_of(f"/d/{path.name}") for path in folder.iterdir())


def well(x: Exchange, content: bytes) -> bool:
    """As a server should."""
    x.ranged(content)
    return True


def test_answers_that_an_ended_run_left_on_a_connection_are_not_the_next_files(tmp_path: Path) -> None:
    """Sidecars come before the other files, over the same connections, and are all of one size."""
    with serving(well) as web, connections_kept():
        came: list[object] = []
        first = Objects(PUBLIC_ORIGIN, HASTY, replace(ONE_LINE, is_ended=lambda: len(list(tmp_path.iterdir())) >= 2))
        for found in first.fetch([wish(web, tmp_path, f"a{number}") for number in range(20)]):
            came += found
        assert len(came) + len(first.left) == 20
        assert first.left
        second = Objects(PUBLIC_ORIGIN, HASTY, ONE_LINE)
        n_came = sum(len(found) for found in second.fetch([wish(web, tmp_path, f"b{number}") for number in range(20)]))
        assert (n_came, second.left) == (20, [])
    assert are_right(tmp_path)


def test_a_file_whose_checksum_is_known_is_taken_though_others_have_been_asked_for(tmp_path: Path) -> None:
    """A sidecar names some: answers to the next ones were taken for bytes behind its end."""
    with serving(well) as web:
        known = Demand(checksums={"sha256": hashlib.sha256(content_of("/d/05")).hexdigest()})
        wishes = [wish(web, tmp_path, f"{number:02}", known if number == 5 else Demand()) for number in range(12)]
        objects = Objects(PUBLIC_ORIGIN, HASTY, ONE_LINE)
        with connections_kept():
            n_came = sum(len(found) for found in objects.fetch(wishes))
        assert (n_came, [left.remote.path for left in objects.left]) == (12, [])
        assert [path for method, path, _ in web.asked if method == "GET"] == [f"/d/{number:02}" for number in range(12)]
    assert are_right(tmp_path)
