"""A collector or a writer that stalls, at any of its requests, while the other one runs from its start to its end."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from stalling_server import PATIENCE_S, StallingServer, stalling

from em_assets.formats.volume import SourceVolume
from em_assets.remote.path import RemotePath, remote_path
from em_assets.volumes.condemned import CONDEMNED, claimed, condemned, is_named_after
from em_assets.volumes.folders import Folder
from em_assets.volumes.leftovers import collect_generations
from em_assets.volumes.pyramid import WrittenVolume, write_pyramid
from em_assets.volumes.store import CommittedVolume, commit_volume, resolve
from em_assets.volumes.validation import validate_volume

VOXELS = np.random.default_rng(5).integers(1, 255, (2, 8, 8), dtype=np.uint8)
AT_ONCE = timedelta(0)

LEFT = ("begun", "finished")
"""What the writer that died left: objects without a document, or all that a commit would name."""

DECISIVE = ("bbbb", "commits", "delete")
"""What is in the addresses that are asked about what was left; what `aaaa` is asked, makes no difference."""

Write = Callable[[Folder], WrittenVolume]


@pytest.fixture
def write(make_source: Callable[..., SourceVolume]) -> Write:
    """Writes the volume."""
    said: dict[str, Any] = {"content": "em", "voxel_size_zyx_nm": (8.0, 8.0, 8.0), "name": "em", "attributes": {}}
    return lambda dest: write_pyramid(make_source(VOXELS, (8.0, 8.0, 8.0)), dest, ome_zarr="0.5", **said)


@pytest.fixture
def left(s3_environment: dict[str, str], new_bucket: Callable[[], str], write: Write) -> Callable[[str], RemotePath]:
    """What was left → a volume whose commit is `aaaa`; of `bbbb` that is left."""

    def left(what: str) -> RemotePath:
        folder = remote_path(f"{new_bucket()}/em", s3_environment)
        commit_volume(folder, "aaaa", write)
        commit_volume(folder, "bbbb", write)
        folder.remove(["commits/000002.json", *(["generations/bbbb.json"] if what == "begun" else [])])
        return folder

    return left


def collect(folder: RemotePath) -> Any:
    return collect_generations(folder, dry_run=False, untouched=AT_ONCE)


def check_whole(folder: RemotePath, committed: CommittedVolume) -> None:
    """What was committed is the volume, and whole; a collector may have repeated the commit."""
    found = resolve(folder)
    assert found is not None
    assert found.commit == committed.commit.model_copy(update={"number": found.commit.number})
    assert is_named_after(found.commit.generation, "bbbb")
    assert validate_volume(folder) == []


def stalled_at_each(
    folder_of: Callable[[], RemotePath], slow: Callable[[RemotePath], Any], quick: Callable[[RemotePath], Any]
) -> list[tuple[RemotePath, Any, Any]]:
    """Of each request of `slow`: the volume after it was held back while `quick` ran, and what both gave."""
    done: list[tuple[RemotePath, Any, Any]] = []
    while True:
        folder = folder_of()
        assert folder.endpoint
        with stalling(folder.endpoint, len(done), DECISIVE) as server, ThreadPoolExecutor(1) as executor:
            stalls: Future[Any] = executor.submit(slow, replace(folder, endpoint=server.url))
            stalls.add_done_callback(lambda _, server=server: server.is_held.set())  # type: ignore[misc]
            assert server.is_held.wait(PATIENCE_S)
            if stalls.done():
                stalls.result()
                return done
            found = quick(folder)
            server.go_on.set()
            done.append((folder, stalls.result(), found))


@pytest.mark.parametrize("what", LEFT)
def test_a_collector_that_stalls_removes_nothing_that_a_writer_then_commits(
    left: Callable[[str], RemotePath], write: Write, what: str
) -> None:
    """A check of the commits before each removal is no help: the stall may be behind it, or in the network."""
    done = stalled_at_each(lambda: left(what), collect, lambda folder: commit_volume(folder, "bbbb", write))
    assert len(done) > 4
    for folder, _, committed in done:
        check_whole(folder, committed)


@pytest.mark.parametrize("what", LEFT)
def test_a_writer_that_stalls_for_days_commits_nothing_that_was_collected(
    left: Callable[[str], RemotePath], write: Write, what: str
) -> None:
    done = stalled_at_each(lambda: left(what), lambda folder: commit_volume(folder, "bbbb", write), collect)
    assert len(done) > 8
    for folder, committed, _ in done:
        check_whole(folder, replace(committed, folder=folder))
    assert {committed.commit.generation for _, committed, _ in done} == {"bbbb-2"}


def test_two_collectors_and_a_writer_that_all_stall(left: Callable[[str], RemotePath], write: Write) -> None:
    """The writer is about to commit; one collector stalls anywhere; another has listed the commits; the writer commits.

    What the second one finds may be the condemnation of the first, which the commit was too fast for.
    """
    writers: list[tuple[StallingServer, Future[CommittedVolume]]] = []
    with ThreadPoolExecutor(2) as executor, ExitStack() as stack:

        def held(folder: RemotePath, word: str, use: Callable[[RemotePath], Any]) -> tuple[StallingServer, Future[Any]]:
            assert folder.endpoint
            server = stack.enter_context(stalling(folder.endpoint, 0, (word,)))
            future = executor.submit(use, replace(folder, endpoint=server.url))
            future.add_done_callback(lambda _: server.is_held.set())
            assert server.is_held.wait(PATIENCE_S)
            return server, future

        def finished() -> RemotePath:
            folder = left("finished")
            writers.append(held(folder, "commits/000002", lambda same: commit_volume(same, "bbbb", write)))
            return folder

        def committed_and_collected(folder: RemotePath) -> CommittedVolume:
            collector = held(folder, "generations/bbbb.json", collect)
            found = []
            for server, future in (writers[-1], collector):
                server.go_on.set()
                found.append(future.result(PATIENCE_S))
            return replace(found[0], folder=folder)

        done = stalled_at_each(finished, collect, committed_and_collected)
        writers[-1][0].go_on.set()
        writers[-1][1].result(PATIENCE_S)  # whom no stalling collector met
    assert len(done) > 8
    assert {committed.commit.generation for _, _, committed in done} == {"bbbb", "bbbb-2"}
    for folder, _, committed in done:
        check_whole(folder, committed)


def test_what_was_collected_is_written_under_the_next_name_and_found_again(
    left: Callable[[str], RemotePath], write: Write
) -> None:
    folder = left("begun")
    assert collect(folder) != []
    made = commit_volume(folder, "bbbb", write)
    assert (made.commit.generation, made.commit.number, made.is_new) == ("bbbb-2", 2, True)
    assert commit_volume(folder, "bbbb", write).is_new is False
    assert collect(folder) == []
    assert validate_volume(folder) == []


def test_a_finished_generation_of_a_volume_without_a_commit_is_left_for_the_next_call(
    left: Callable[[str], RemotePath], write: Write
) -> None:
    folder = left("finished")
    folder.remove(["commits/000001.json", *(key for key in folder.objects() if "aaaa" in key)])
    assert collect(folder) == []
    check_whole(folder, commit_volume(folder, "bbbb", write))


def test_collecting_what_was_finished_repeats_the_commit_that_stands(left: Callable[[str], RemotePath]) -> None:
    """So that a writer which stalled before its commit finds the number taken, and looks again."""
    folder = left("finished")
    before = resolve(folder)
    assert before is not None
    assert collect(folder) != []
    after = resolve(folder)
    assert after is not None
    assert after.commit == before.commit.model_copy(update={"number": 2})
    assert (folder / "generations/bbbb.json").read_bytes() == CONDEMNED


def test_of_a_document_and_a_condemnation_one_wins(left: Callable[[str], RemotePath]) -> None:
    document = left("begun") / "generations/cccc.json"
    assert claimed(document, b"ours", is_committed=lambda: False)
    assert claimed(document, b"ours", is_committed=lambda: False)  # its answer was lost, and it is sent again
    assert not claimed(document, b"others", is_committed=lambda: False)
    assert not condemned(document, has_commits=lambda: True, repeat_last_commit=lambda: False)
    assert document.read_bytes() == b"ours"
    assert condemned(document, has_commits=lambda: True, repeat_last_commit=lambda: True)
    assert not claimed(document, b"ours", is_committed=lambda: False)


def test_a_condemnation_that_is_found_proves_no_more_than_ones_own(left: Callable[[str], RemotePath]) -> None:
    """Who put it may not have taken the next commit's number yet; where there is no commit, nobody had a document."""
    document = left("begun") / "generations/cccc.json"
    document.put(CONDEMNED)
    assert not condemned(document, has_commits=lambda: True, repeat_last_commit=lambda: False)
    assert condemned(document, has_commits=lambda: True, repeat_last_commit=lambda: True)
    assert condemned(document, has_commits=lambda: False, repeat_last_commit=lambda: False)


def test_a_document_is_not_touched_where_no_commit_can_be_repeated(left: Callable[[str], RemotePath]) -> None:
    """It would have to be put back, which may be late: another collector has removed by then what it names."""
    document = left("begun") / "generations/cccc.json"
    document.put(b"ours")
    seen: list[bytes] = []

    def repeat() -> bool:
        seen.append(document.read_bytes())
        return False

    assert not condemned(document, has_commits=lambda: False, repeat_last_commit=repeat)
    assert (seen, document.read_bytes()) == ([], b"ours")


@pytest.mark.parametrize("is_last", [True, False], ids=["last", "first"])
def test_of_two_writers_whose_bytes_differ_nobody_commits_a_mixture(
    s3_environment: dict[str, str],
    new_bucket: Callable[[], str],
    make_source: Callable[..., SourceVolume],
    is_last: bool,
) -> None:
    """As by libraries of two releases: the slower one put its ledger in the place of what was committed meanwhile."""
    folder = remote_path(f"{new_bucket()}/em", s3_environment)
    said: dict[str, Any] = {"content": "em", "voxel_size_zyx_nm": (8.0, 8.0, 8.0), "name": "em", "attributes": {}}

    def written(voxels: Any) -> Write:
        return lambda dest: write_pyramid(make_source(voxels, (8.0, 8.0, 8.0)), dest, ome_zarr="0.5", **said)

    other = np.random.default_rng(6).integers(1, 255, VOXELS.shape, dtype=np.uint8)
    n_written = 0

    def slow(dest: Folder) -> WrittenVolume:
        nonlocal n_written
        n_written += 1
        if is_last and n_written == 1:
            commit_volume(folder, "bbbb", written(VOXELS))
        made = written(other)(dest)
        if not is_last and n_written == 1:
            commit_volume(folder, "bbbb", written(VOXELS))
        return made

    committed = commit_volume(folder, "bbbb", slow)
    assert (committed.commit.generation, committed.commit.number, n_written) == ("bbbb-2", 2, 2)
    check_whole(folder, committed)
    assert commit_volume(folder, "bbbb", written(VOXELS)).commit == committed.commit
