"""`keep_raw = false`: raw bytes go once every voxel is proved to be kept, and come back when they are needed."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from em_assets import building, checking, inspecting, proving
from em_assets.catalog.schemas import CLAIMS, CONFLICTS, FIELDS, FILES, ORIGINAL_TAGS, RECORD
from em_assets.catalog.tables import write_table
from em_assets.collecting import leftovers
from em_assets.datasets import Dataset
from em_assets.model import Source
from em_assets.proving import drop_raw, prove
from em_assets.retention import made_of
from em_assets.settings import Settings
from em_assets.sources import Acquired, acquire, read_manifest
from em_assets.sources.manifest import read_lock
from em_assets.sources.origins import PUBLIC_ORIGIN
from em_assets.volumes.store import committed_volumes


class Lab:
    """A dataset of one copied file, and the graph's steps over it."""

    def __init__(self, source: Path, store: Path, **keys: object) -> None:
        self.settings = Settings(store=store)
        self.raw_dir = self.settings.raw_dir("mine")
        given = {"name": "mine", "title": "Mine", "keep_raw": False, **keys}
        self.dataset = Dataset(sources=(Source(url=str(source), copy=True),), **given)

    def run(self) -> Acquired:
        """What one run of the graph does: raw files, tables, volumes, and what becomes of the raw bytes."""
        dataset, settings = self.dataset, self.settings
        got = acquire(
            dataset.sources, PUBLIC_ORIGIN, self.raw_dir, log=lambda line: None, made_of=made_of(dataset, settings)
        )
        claims = building.claims(dataset, settings)
        record, conflicts = building.record(dataset, settings, claims)
        tables = {
            ORIGINAL_TAGS: building.original_tags(dataset, settings),
            CLAIMS: claims,
            RECORD: record,
            CONFLICTS: conflicts,
            FIELDS: building.fields(dataset, settings, claims),
            FILES: building.files(dataset, settings),
        }
        for schema, table in tables.items():
            write_table(table, settings.metadata_dir("mine") / f"{schema.name}.parquet", schema)
        for volume in building.volumes_to_write(dataset, settings, record):
            volume.commit()
        self.retained = drop_raw(dataset, settings)
        return got

    def store(self) -> dict[str, bytes]:
        """The tables of the store and the volume's metadata, by path."""
        found = sorted((self.settings.store / "metadata").rglob("*.parquet"))
        return {path.name: path.read_bytes() for path in found}


@pytest.fixture
def source(small_tiff: Path, tmp_path: Path) -> Path:
    path = tmp_path / "original" / "small.tif"
    path.parent.mkdir()
    path.write_bytes(small_tiff.read_bytes())
    return path


@pytest.fixture
def lab(source: Path, tmp_path: Path) -> Lab:
    return Lab(source, tmp_path / "store")


def test_bytes_go_once_every_voxel_is_proved_and_manifest_lock_and_tags_stay(lab: Lab, source: Path) -> None:
    assert lab.run().fetched == 1
    assert lab.retained == (source.stat().st_size, [])
    assert not (lab.raw_dir / "files" / "small.tif").exists()
    assert [row.path for row in read_manifest(lab.raw_dir) or ()] == ["small.tif"]
    assert [row.path for row in read_lock(lab.raw_dir)] == ["small.tif"]
    assert len(building.original_tags(lab.dataset, lab.settings)) > 10


def test_a_second_run_fetches_nothing_and_changes_nothing(lab: Lab) -> None:
    lab.run()
    before = lab.store()
    again = lab.run()
    assert (again.fetched, again.fetched_bytes, again.kept) == (0, 0, 1)
    assert lab.store() == before
    assert checking.incomplete_files(lab.dataset, lab.settings) == []
    assert checking.unequal_blocks(lab.dataset, lab.settings).unequal == []


def test_what_is_needed_again_is_fetched_again(lab: Lab, source: Path) -> None:
    lab.run()
    lab.dataset = lab.dataset.model_copy(update={"title": "Another title"})
    assert lab.run().fetched == 1  # other claims would be made of it
    (lab.settings.metadata_dir("mine") / "fields.parquet").unlink()
    assert lab.run().fetched == 1
    lab.settings = replace(lab.settings, ome_zarr="0.4")
    assert lab.run().fetched == 1
    os.utime(source, (1_700_000_000, 1_700_000_000))
    assert lab.run().fetched == 1
    assert lab.run().fetched == 0


def test_a_volume_that_lost_a_file_is_made_again(lab: Lab) -> None:
    lab.run()
    volume = committed_volumes(lab.settings.volumes_dir("mine"))["em"]
    (volume.path / next(key for key, _, _ in volume.ledger() if "/c/" in key)).unlink()
    assert lab.run().fetched == 1
    assert lab.run().fetched == 0


def test_bytes_stay_where_a_voxel_differs(lab: Lab) -> None:
    import zarr

    lab.dataset = lab.dataset.model_copy(update={"keep_raw": True})
    lab.run()
    assert lab.retained == (0, ["the dataset keeps them"])
    volume = committed_volumes(lab.settings.volumes_dir("mine"))["em"]
    zarr.open_array(volume.path / "s0", mode="r+")[3, 20, 30] += 1
    assert prove(lab.dataset, lab.settings).unproved == [
        "em: the box at (0, 0, 0) of shape (6, 40, 50) (z, y, x) is not the source's"
    ]
    lab.dataset = lab.dataset.model_copy(update={"keep_raw": False})
    assert drop_raw(lab.dataset, lab.settings).dropped_bytes == 0
    assert (lab.raw_dir / "files" / "small.tif").exists()


def test_files_that_lie_elsewhere_are_nobodys_to_drop(lab: Lab, source: Path) -> None:
    lab.dataset = lab.dataset.model_copy(update={"sources": (Source(url=str(source)),)})
    lab.run()
    assert lab.retained == (0, ["all of them lie elsewhere, or are in no volume"])
    assert source.exists()


def test_what_a_killed_drop_left_is_collected(lab: Lab, source: Path) -> None:
    lab.run()
    (lab.raw_dir / "files" / "small.tif").write_bytes(source.read_bytes())
    found = leftovers([], {"mine": lab.dataset}, lab.settings, quarantine=False, dry_run=False)
    assert [(one.what, one.size_bytes) for one in found] == [("dropped bytes", source.stat().st_size)]
    assert not (lab.raw_dir / "files" / "small.tif").exists()


def test_a_file_that_changes_while_it_is_read_becomes_no_volume(lab: Lab, source: Path) -> None:
    from em_assets.errors import IncompleteError

    lab.dataset = lab.dataset.model_copy(update={"sources": (Source(url=str(source)),)})
    acquire(lab.dataset.sources, PUBLIC_ORIGIN, lab.raw_dir, log=lambda line: None)
    record, _ = building.record(lab.dataset, lab.settings, building.claims(lab.dataset, lab.settings))
    (volume,) = building.volumes_to_write(lab.dataset, lab.settings, record)
    os.utime(source, (1_700_000_000, 1_700_000_000))
    with pytest.raises(IncompleteError, match=r"changed while em was made of it: .*small\.tif: changed since"):
        volume.commit()
    assert committed_volumes(lab.settings.volumes_dir("mine")) == {}


def test_what_is_in_no_volume_stays_when_the_rest_is_dropped(lab: Lab, source: Path) -> None:
    """Notes and tilt angles beside the images were deleted with them: they belong to the source, and to no volume."""
    (source.parent / "tilt_angles.rawtlt").write_text("-60.0\n-57.0\n")
    lab.dataset = lab.dataset.model_copy(update={"sources": (Source(url=str(source.parent), copy=True),)})
    lab.run()
    assert lab.retained == (source.stat().st_size, [])
    assert [path.name for path in (lab.raw_dir / "files").iterdir()] == ["tilt_angles.rawtlt"]
    (lab.raw_dir / "files" / "small.tif").write_bytes(source.read_bytes())
    found = leftovers(["mine"], {"mine": lab.dataset}, lab.settings, quarantine=False, dry_run=False)
    assert [Path(one.path).name for one in found] == ["small.tif"]
    assert checking.incomplete_files(lab.dataset, lab.settings) == []
    (lab.raw_dir / "files" / "tilt_angles.rawtlt").unlink()
    assert "tilt_angles.rawtlt: in the manifest" in checking.incomplete_files(lab.dataset, lab.settings)[0]
    assert lab.run().fetched == 2


def test_bytes_of_another_version_than_the_proved_one_are_not_dropped(
    lab: Lab, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one run compares, another may fetch: what it brought was made into no volume, and compared with none."""
    prove_v1 = proving.prove

    def prove_while_another_run_fetches(dataset: Dataset, settings: Settings) -> proving.Proof:
        proof = prove_v1(dataset, settings)
        tifffile.imwrite(source, np.full((6, 40, 50), 7, np.uint8))
        acquire(dataset.sources, PUBLIC_ORIGIN, lab.raw_dir, log=str)
        return proof

    monkeypatch.setattr(proving, "prove", prove_while_another_run_fetches)
    lab.run()
    assert lab.retained.dropped_bytes == 0
    assert "changed while they were compared" in lab.retained.reasons[0]
    assert (lab.raw_dir / "files" / "small.tif").read_bytes() == source.read_bytes()


def test_a_volume_made_from_other_bytes_proves_nothing_of_these(lab: Lab, source: Path) -> None:
    """A new version with the same voxels and other tags: the volume holds the voxels, no table has the tags yet."""
    lab.dataset = lab.dataset.model_copy(update={"keep_raw": True})
    lab.run()
    source.write_bytes(source.read_bytes() + b"more")
    acquire(lab.dataset.sources, PUBLIC_ORIGIN, lab.raw_dir, log=str)
    dropping = lab.dataset.model_copy(update={"keep_raw": False})
    assert drop_raw(dropping, lab.settings).dropped_bytes == 0


def test_a_check_says_what_it_cannot_look_at_any_more(lab: Lab) -> None:
    lab.run()
    assert inspecting.placeholder_levels(lab.dataset, lab.settings).good.startswith("not looked at: the raw bytes")
