"""Which volumes the pages of assets draw, and which bytes of a dataset are the store's."""

from pathlib import Path

import pytest
from sharing import copy_held

from em_assets import datasets
from em_assets.defs import metadata, pictures
from em_assets.defs.pictures import png_of
from em_assets.settings import Settings
from em_assets.sources import read_fingerprint, read_manifest
from em_assets.sources.manifest import FILES, write_manifest
from em_assets.volumes.preview import Thumbnail

NAME = "epfl_hippocampus"


@pytest.fixture
def held(tmp_path: Path, held_store: Path) -> Settings:
    """A store with one dataset."""
    settings = Settings(store=tmp_path / "store", origin="sample")
    copy_held(held_store, settings.store, [NAME])
    return settings


def test_a_volume_of_files_that_have_changed_is_not_drawn(held: Settings) -> None:
    """Between a changed source and its new volume the raw files are shown; where they are gone, nothing."""
    dataset, folder = datasets.get(NAME, held), held.raw_dir(NAME)
    before = pictures.of_dataset(dataset, held)["em"]
    assert isinstance(before, Thumbnail)
    files = read_manifest(folder) or ()
    changed = [file.model_copy(update={"sha256": "0" * 64}) for file in files]
    write_manifest(folder, changed, read_fingerprint(folder) or "")
    now = pictures.of_dataset(dataset, held)["em"]
    assert not isinstance(now, Thumbnail)
    assert png_of(now) != before.png
    for file in files:
        (folder / FILES / file.path).unlink()
    assert pictures.of_dataset(dataset, held) == {}


def test_files_that_lie_elsewhere_are_no_bytes_of_the_store(held: Settings, tmp_path: Path) -> None:
    dataset, folder = datasets.get(NAME, held), held.raw_dir(NAME)
    (file, *_) = read_manifest(folder) or ()
    whole = metadata.held_bytes(dataset, held)
    assert whole["referenced_bytes"].value == 0
    path = folder / FILES / file.path
    path.symlink_to(path.rename(tmp_path / "elsewhere"))
    apart = metadata.held_bytes(dataset, held)
    assert apart["referenced_bytes"].value == file.size_bytes
    assert apart["raw_bytes"].value == int(str(whole["raw_bytes"].value)) - file.size_bytes
