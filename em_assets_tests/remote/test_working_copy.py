"""A folder on this disk and a folder of a bucket become the same, whichever of the two was changed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from em_assets.errors import StoreError
from em_assets.keeping import PASSING
from em_assets.remote.path import RemotePath, remote_path
from em_assets.remote.working_copy import WorkingCopy

UNIT, LAST = "raw/zebrafish", "manifest"


@pytest.fixture
def here(tmp_path: Path, s3_environment: dict[str, str], new_bucket: Callable[[], str]) -> WorkingCopy:
    """A copy that sent three files to an empty bucket."""
    copy = WorkingCopy(tmp_path / "here", remote_path(f"{new_bucket()}/store", s3_environment))
    for name in ("files/a.tif", "files/b.tif", LAST):
        (copy.folder / UNIT / name).parent.mkdir(parents=True, exist_ok=True)
        (copy.folder / UNIT / name).write_text(f"{name} 1")
    copy.push(UNIT, LAST)
    return copy


@pytest.fixture
def there(here: WorkingCopy, tmp_path: Path) -> WorkingCopy:
    """Another machine's copy, empty."""
    return WorkingCopy(tmp_path / "there", here.remote)


def files(copy: WorkingCopy) -> dict[str, str]:
    root = copy.folder / UNIT
    return {path.relative_to(root).as_posix(): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


def test_another_machine_gets_what_one_sent(here: WorkingCopy, there: WorkingCopy) -> None:
    there.pull(UNIT, LAST)
    assert files(there) == files(here) == {name: f"{name} 1" for name in ("files/a.tif", "files/b.tif", LAST)}
    assert list((there.folder / ".remote/raw").glob("*.new")) == []


def test_what_differs_from_the_objects_is_fetched_again_and_nothing_else(here: WorkingCopy) -> None:
    (here.folder / UNIT / "files/a.tif").write_text("damaged by somebody")
    (here.folder / UNIT / "files/b.tif").unlink()
    (here.folder / UNIT / "files/mine.txt").write_text("never sent")
    kept = (here.folder / UNIT / LAST).stat().st_mtime_ns
    here.pull(UNIT, LAST)
    assert files(here)["files/a.tif"] == "files/a.tif 1"
    assert files(here).keys() == {"files/a.tif", "files/b.tif", "files/mine.txt", LAST}
    assert (here.folder / UNIT / LAST).stat().st_mtime_ns == kept


def test_a_change_and_a_removal_reach_the_other_machine(here: WorkingCopy, there: WorkingCopy) -> None:
    there.pull(UNIT, LAST)
    (here.folder / UNIT / "files/a.tif").unlink()
    (here.folder / UNIT / "files/b.tif").write_text("b 2")
    (here.folder / UNIT / LAST).write_text("2")
    here.push(UNIT, LAST)
    there.pull(UNIT, LAST)
    assert files(there) == {"files/b.tif": "b 2", LAST: "2"}


def test_what_another_machine_sent_meanwhile_stays(here: WorkingCopy, there: WorkingCopy) -> None:
    """Both brought the folder, each changed a file of its own: the second to send has an old copy of the first's."""
    there.pull(UNIT, LAST)
    (there.folder / UNIT / "files/b.tif").write_text("b 2 of there")
    there.push(UNIT, LAST)
    (here.folder / UNIT / "files/a.tif").write_text("a 2 of here")
    here.push(UNIT, LAST)
    for copy in (here, there):
        copy.pull(UNIT)
        assert files(copy) == {"files/a.tif": "a 2 of here", "files/b.tif": "b 2 of there", LAST: f"{LAST} 1"}


def test_what_is_being_changed_is_not_made_what_it_was(here: WorkingCopy) -> None:
    """A sensor brings every dataset every minute, and may come between the writing of a manifest and its sending."""
    same_machine = WorkingCopy(here.folder, here.remote)
    with here.changing(UNIT):
        (here.folder / UNIT / LAST).write_text("2")
        same_machine.pull(UNIT, LAST)
        same_machine.pull_only(UNIT, [LAST])
        here.push(UNIT, LAST)
    same_machine.pull_only(UNIT, [LAST])
    assert (here.folder / UNIT / LAST).read_text() == "2"
    assert (here.remote / UNIT / LAST).read_bytes() == b"2"


def test_while_the_commit_object_is_the_same_the_others_are_not_asked_for(
    here: WorkingCopy, there: WorkingCopy
) -> None:
    there.pull(UNIT, LAST)
    (here.remote / UNIT / "files/a.tif").put(b"not yet committed")
    there.pull(UNIT, LAST)
    assert files(there)["files/a.tif"] == "files/a.tif 1"
    (here.remote / UNIT / LAST).put(b"committed")
    there.pull(UNIT, LAST)
    assert files(there)["files/a.tif"] == "not yet committed"


def test_single_files_can_be_had_without_the_others(here: WorkingCopy, there: WorkingCopy) -> None:
    there.pull_only(UNIT, [LAST, "lock"])
    assert files(there) == {LAST: f"{LAST} 1"}
    there.pull(UNIT, LAST)
    assert files(there) == files(here)
    (here.remote / UNIT).remove([LAST])
    there.pull_only(UNIT, [LAST])
    assert LAST not in files(there)


def test_what_is_named_hidden_or_linked_stays_on_this_disk(here: WorkingCopy, tmp_path: Path) -> None:
    root = here.folder / UNIT
    (root / "old").mkdir()
    (root / "files/.cutout-1").mkdir()
    for name in ("old/x", "files/.0123456789abcdef.partial", "files/.cutout-1/zarr.json", ".lock", "journal"):
        (root / name).write_text("")
    (root / "files/.zarray").write_text("a source's own")
    (tmp_path / "facility.tif").write_text("")
    (root / "files/linked.tif").symlink_to(tmp_path / "facility.tif")
    here.push(UNIT, LAST, skip=("old", "journal"), passing=PASSING)
    assert (here.remote / UNIT).objects().keys() == {"files/.zarray", "files/a.tif", "files/b.tif", LAST}


def test_a_lost_copy_and_lost_notes_cost_a_fetch_and_no_more(here: WorkingCopy) -> None:
    before = files(here)
    (here.folder / ".remote/raw/zebrafish.json").write_text("{")
    here.pull(UNIT, LAST)
    assert files(here) == before
    shutil.rmtree(here.folder)
    here.pull(UNIT, LAST)
    assert files(here) == before


def test_bytes_that_changed_on_the_way_never_get_the_files_name(here: WorkingCopy, there: WorkingCopy) -> None:
    import obstore

    broken: RemotePath = here.remote / UNIT / "files/b.tif"
    obstore.put(broken._store, broken.key, b"files/b.tif 2", attributes={"sha256": "0" * 64})
    with pytest.raises(StoreError, match=r"files/b\.tif"):
        there.pull(UNIT, LAST)
    assert not {"files/b.tif", LAST} & files(there).keys()
