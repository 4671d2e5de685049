"""An export's way to its place: beside, compared, published; what others put there is never touched."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from em_assets import datasets
from em_assets.errors import EvidenceError, NotBuiltError, UsageError
from em_assets.layouts import export
from em_assets.layouts.held import Held, held
from em_assets.layouts.interface import Exported, Options, Written
from em_assets.layouts.publishing import publish_export
from em_assets.remote.path import RemotePath, remote_path
from em_assets.settings import Settings


class Notebook:
    """A layout of small files that one test makes up: name → text, below one folder unless the name has none."""

    TAKES = "one"

    def __init__(self, **pages: str) -> None:
        self.pages = {name.replace("__", "/"): text for name, text in pages.items()}

    def export(self, held: Sequence[Held], draft: Path, options: Options) -> Written:
        for name, text in self.pages.items():
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            (draft / name).write_text(text)
        return Written(refused=("one: too large",), notes=("two",))


@pytest.fixture
def publish(held_settings: Settings) -> Callable[..., Exported]:
    """Layout, place, dataset → the export."""

    def run(layout: Notebook, dest: Path | RemotePath, dataset: str = "epfl_hippocampus") -> Exported:
        one = held(datasets.get(dataset, held_settings), held_settings)
        return publish_export("notebook", layout, [one], dest, Options())

    return run


def texts(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_new_version_takes_the_place_of_the_old_one(publish: Callable[..., Exported], tmp_path: Path) -> None:
    assert publish(Notebook(book__a="1", book__b="2", single="x"), tmp_path).is_new
    again = publish(Notebook(book__a="1", book__c="3", single="y"), tmp_path)
    assert again.is_new
    assert again.entries == ("book", "single")
    assert texts(tmp_path) == {"book/a": "1", "book/c": "3", "single": "y"}


def test_what_is_refused_and_noted_is_handed_on(publish: Callable[..., Exported], tmp_path: Path) -> None:
    done = publish(Notebook(a="1"), tmp_path)
    assert (done.refused, done.notes, done.n_files, done.size_bytes) == (("one: too large",), ("two",), 1, 1)


def test_what_others_put_there_stays_and_the_name_is_refused(publish: Callable[..., Exported], tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "diary").write_text("mine")
    with pytest.raises(UsageError, match="no export of this store"):
        publish(Notebook(another="1", book__a="1"), tmp_path)
    assert texts(tmp_path) == {"book/diary": "mine"}


def test_two_datasets_under_one_name_are_refused(publish: Callable[..., Exported], tmp_path: Path) -> None:
    publish(Notebook(book__a="1"), tmp_path)
    with pytest.raises(UsageError, match="notebook export of epfl_hippocampus"):
        publish(Notebook(book__a="2"), tmp_path, "visor_bb001")
    assert texts(tmp_path) == {"book/a": "1"}


def test_the_same_bytes_of_somebody_else_are_no_quarrel(publish: Callable[..., Exported], tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    assert not publish(Notebook(a="1"), tmp_path).is_new


def test_a_bucket_gets_documents_after_data_and_only_what_changed(
    publish: Callable[..., Exported], new_bucket: Callable[[], str], s3_environment: dict[str, str]
) -> None:
    place = remote_path(f"{new_bucket()}/exports", s3_environment)
    pages = {"book__0__0": "voxels", "book__0__meta.json": "{}", "book__top.json": "[]", "single.cff": "x"}
    assert publish(Notebook(**pages), place).is_new
    first = place.objects()
    assert {key: (place / key).read_bytes().decode() for key in first} == {
        name.replace("__", "/"): text for name, text in pages.items()
    }
    assert not publish(Notebook(**pages), place).is_new
    assert place.objects() == first
    assert publish(Notebook(**pages | {"book__0__1": "more"}), place).is_new
    then = place.objects()
    assert {key for key in then if then[key].modified != first.get(key, then["book/0/1"]).modified} <= {"book/top.json"}
    with pytest.raises(UsageError, match="epfl_hippocampus"):
        publish(Notebook(**pages), place, "visor_bb001")


def test_a_dataset_that_is_not_held_is_no_export(held_settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(NotBuiltError, match="em-assets fetch hemibrain_ng"):
        export(["hemibrain_ng"], held_settings, "visor", tmp_path)
    with pytest.raises(UsageError, match="at least one dataset"):
        export([], held_settings, "visor", tmp_path)


def test_a_required_licence_that_nobody_says_is_refused(held_settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match=r"visor_bb001/slice_1_stack_1\.405nm_10X"):
        export(["visor_bb001"], held_settings, "visor", tmp_path, Options(require_licence=True))
    assert list(tmp_path.iterdir()) == []


def test_receipts_are_in_the_store_and_not_at_the_place(
    publish: Callable[..., Exported], held_settings: Settings, tmp_path: Path
) -> None:
    publish(Notebook(a="1"), tmp_path)
    receipts = [json.loads(path.read_text()) for path in (held_settings.store / "exports/receipts").iterdir()]
    assert {"place": f"{tmp_path}/a", "layout": "notebook", "datasets": ["epfl_hippocampus"], "objects": {}} in receipts


def test_a_store_in_a_bucket_keeps_the_receipts_there(
    new_bucket: Callable[[], str], s3_environment: dict[str, str], tmp_path: Path, held_settings: Settings
) -> None:
    store = remote_path(f"{new_bucket()}/store", s3_environment)

    def publish_from(working_copy: str, text: str) -> Exported:
        dataset = datasets.get("epfl_hippocampus", held_settings)
        one = Held(dataset, Settings(store=tmp_path / working_copy, remote=store), ())
        return publish_export("notebook", Notebook(a=text), [one], tmp_path / "out", Options())

    publish_from("first", "1")
    assert [key.split("/")[:2] for key in store.objects()] == [["exports", "receipts"]]
    assert publish_from("second", "2").is_new
    assert texts(tmp_path / "out") == {"a": "2"}
