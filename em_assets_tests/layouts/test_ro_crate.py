"""RO-Crates at the root of OME-Zarr: the `rocrate` package loads each, and nothing of the record is lost."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore as ts
from full_record import FULL, crate_of
from holding import HELD
from rocrate.rocrate import ROCrate

from em_assets import building, datasets, layouts, open_volume
from em_assets.catalog.schemas import RECORD
from em_assets.catalog.tables import read_table, record_table
from em_assets.errors import EvidenceError, StoreError
from em_assets.layouts import ro_crate
from em_assets.layouts.copying import copy_group
from em_assets.layouts.crate import SAID_OTHERWISE
from em_assets.layouts.held import Held
from em_assets.layouts.interface import Options
from em_assets.model import VolumeRecord
from em_assets.remote.path import remote_path
from em_assets.settings import Settings
from em_assets.volumes.folders import keys_in_order
from em_assets.volumes.store import resolve


@pytest.fixture(scope="module")
def place(held_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All datasets that are held, exported beside each other."""
    dest = tmp_path_factory.mktemp("crates")
    layouts.export(HELD, held_settings, "ro-crate", dest)
    return dest


def test_rocrate_loads_every_crate(place: Path) -> None:
    found = {path.name: ROCrate(path).root_dataset["name"] for path in sorted(place.iterdir())}
    assert list(found) == [f"{name}.zarr" for name in HELD]
    assert all(found.values())


def entities(place: Path, dataset: str) -> dict[str, dict[str, Any]]:
    document = json.loads((place / f"{dataset}.zarr" / "ro-crate-metadata.json").read_text())
    return {entity["@id"]: entity for entity in document["@graph"]}


def test_species_and_imaging_method_are_where_the_challenge_wants_them(place: Path) -> None:
    crate = ROCrate(place / "empiar_11759.zarr")
    acquisition = crate.root_dataset["resultOf"]
    assert acquisition["fbbi_id"].id == "obo:FBbi_00000585"
    assert acquisition["specimen"]["biosample"]["organism_classification"].id == "NCBI:txid7955"
    assert acquisition["instrument"]["name"] == "FEI Quanta"


def test_an_unknown_licence_is_an_entity_that_says_so(place: Path) -> None:
    crate = ROCrate(place / "epfl_hippocampus.zarr")
    assert crate.root_dataset["license"]["name"] == "Licence unknown"
    assert ROCrate(place / "u2os_chromatin.zarr").root_dataset["license"]["name"] == "CC-BY-4.0"


def test_a_required_licence_refuses_a_dataset_without_one(held_settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match=r"epfl_hippocampus/em.*\[\[says\]\]"):
        layouts.export(["epfl_hippocampus"], held_settings, "ro-crate", tmp_path, Options(require_licence=True))
    assert list(tmp_path.iterdir()) == []


def test_every_link_inside_a_crate_leads_somewhere(place: Path) -> None:
    for name in HELD:
        known = entities(place, name)
        links = {link for entity in known.values() for value in entity.values() for link in links_in(value)}
        assert {link for link in links if link not in known and "://" not in link} == set()


def links_in(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [one["@id"] for one in values if isinstance(one, dict)]


@pytest.mark.parametrize("dataset", ["epfl_hippocampus", "u2os_chromatin"])
def test_the_voxels_of_the_export_are_those_of_the_store(place: Path, held_settings: Settings, dataset: str) -> None:
    crate = ROCrate(place / f"{dataset}.zarr")
    paths = {entity["alternateName"]: entity.id for entity in crate.data_entities} or {"em": "."}
    for volume, path in paths.items():
        spec = {"driver": "zarr3", "kvstore": f"file://{place}/{dataset}.zarr/{path}/s0/"}
        expected = open_volume(dataset, volume=volume, settings=held_settings)[...]
        np.testing.assert_array_equal(ts.open(spec).result().read().result(), expected)


def test_a_dataset_of_one_volume_opens_at_its_root_and_one_of_several_below(place: Path) -> None:
    assert open_volume(place / "epfl_hippocampus.zarr").shape[0] > 1
    assert (place / "u2os_chromatin.zarr" / "xy" / "zarr.json").is_file()


def test_a_damaged_volume_is_no_crate(held_settings: Settings, tmp_path: Path) -> None:
    """A copy is proved on the way: whoever gets the crate cannot know the store's ledger."""
    settings = replace(held_settings, store=tmp_path / "store")
    shutil.copytree(held_settings.store, settings.store, symlinks=True)
    chunk = next(settings.store.glob("volumes/epfl_hippocampus/em/*/s0/c/0/0/0"))
    data = bytearray(chunk.read_bytes())
    data[100] ^= 1
    chunk.write_bytes(data)
    with pytest.raises(StoreError, match=r"s0/c/0/0/0: other bytes"):
        layouts.export(["epfl_hippocampus"], settings, "ro-crate", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_volume_comes_out_of_a_bucket_proved(
    held_settings: Settings, s3_environment: dict[str, str], new_bucket: Callable[[], str], tmp_path: Path
) -> None:
    here = held_settings.volumes_dir("epfl_hippocampus") / "em"
    there = remote_path(f"{new_bucket()}/volumes/em", s3_environment)
    assert isinstance(here, Path)
    for path in here.rglob("*"):
        if path.is_file() and not path.is_symlink():
            (there / path.relative_to(here).as_posix()).upload(path)
    committed = resolve(there)
    assert committed is not None
    copy_group(committed, tmp_path / "copy")
    assert [*keys_in_order(tmp_path / "copy")] == [entry.key for entry in committed.ledger()]
    committed.path.remove(["s0/c/0/0/0"])  # type: ignore[union-attr]
    with pytest.raises(StoreError, match="s0/c/0/0/0: in the ledger and not there"):
        copy_group(committed, tmp_path / "torn")


def test_volumes_of_two_versions_are_no_one_tree(held_settings: Settings, tmp_path: Path) -> None:
    settings = replace(held_settings, store=tmp_path / "store", ome_zarr="0.4")
    shutil.copytree(held_settings.store, settings.store, symlinks=True)
    dataset = datasets.get("u2os_chromatin", settings)
    record = read_table(settings.metadata_dir("u2os_chromatin") / "record.parquet", RECORD)
    next(volume for volume in building.volumes_to_write(dataset, settings, record) if volume.name == "xy").commit()
    (done,) = layouts.export(["u2os_chromatin"], settings, "ro-crate", tmp_path / "out")
    assert [line.split(":")[0] for line in done.refused] == ["xz"]
    crate = ROCrate(tmp_path / "out" / "u2os_chromatin.zarr")
    assert crate.root_dataset["alternateName"] == ["u2os_chromatin", "xy"]
    assert (tmp_path / "out" / "u2os_chromatin.zarr" / ".zattrs").is_file()


def test_a_dataset_without_volumes_is_refused(held_settings: Settings, tmp_path: Path) -> None:
    nothing = Held(datasets.get("u2os_chromatin", held_settings), held_settings, records=())
    (refused,) = ro_crate.export([nothing], tmp_path, Options()).refused
    assert refused.startswith("u2os_chromatin: no volume")
    assert list(tmp_path.iterdir()) == []


def test_every_value_of_a_record_is_somewhere_in_its_crate() -> None:
    graph = json.dumps(crate_of(FULL))
    (row,) = record_table([FULL]).to_pylist()
    for column in RECORD.columns:
        if column.name not in SAID_OTHERWISE and row[column.name] is not None:
            assert f'"name": "{column.name}"' in graph
    said = ["Retina", "Of a larva", "Trueba", "SBF-SEM", "obo:FBbi_00000585", "Danio rerio", "txid7955", '"retina"']
    said += ["Quanta", "2018-06-11", "2023-11-01", "2024-01-15", "CC0-1.0", "10.6019/EMPIAR-11759", "Miron, 2024"]
    assert [one for one in said if one not in graph] == []


def test_volumes_that_were_imaged_alike_have_one_acquisition_and_labels_have_none() -> None:
    other = FULL.model_copy(update={"volume": "second"})
    colder = FULL.model_copy(update={"volume": "third", "technique": "cryo-ET", "technique_id": None})
    labels = FULL.model_copy(update={"volume": "cells", "content": "labels", "labels_of": "em"})
    graph = {entity["@id"]: entity for entity in crate_of(FULL, other, colder, labels)}
    assert graph["em/"]["resultOf"] == graph["second/"]["resultOf"] == {"@id": "#acquisition-1"}
    assert graph["third/"]["resultOf"] == {"@id": "#acquisition-2"}
    assert "fbbi_id" not in graph["#acquisition-2"]
    assert "resultOf" not in graph["cells/"]
    assert graph["cells/"]["isBasedOn"] == {"@id": "em/"}


def test_what_nobody_knows_is_left_out() -> None:
    bare = VolumeRecord(dataset="retina", volume="em", origin="public")
    (_, root, *others) = crate_of(bare)
    assert not {"datePublished", "identifier", "author"} & root.keys()
    assert root["license"] == {"@id": "#licence-unknown"}
    assert [one for one in others if one["@type"] in ("specimen", "biosample", "Taxon")] == []
