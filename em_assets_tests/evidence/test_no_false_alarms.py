"""The conflicts of the sample's seven datasets are those that the facts list, and nothing true raises an alarm."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from em_assets import building
from em_assets.catalog.tables import claims_of_table, conflicts_of_table, records_of_table
from em_assets.datasets import Dataset, load
from em_assets.datasets.opening import RawVolume
from em_assets.evidence import claims_of, findings, implausible, resolve
from em_assets.formats.volume import UNKNOWN_VOXEL_SIZE, SourceLevel, SourceVolume
from em_assets.model import Claim, Conflict, VolumeRecord
from em_assets.sample import serving
from em_assets.settings import PUBLIC, SAMPLE, Settings
from em_assets.sources import acquire

SEVEN = (
    "cryoet_10001", "empiar_11759", "epfl_hippocampus", "hemibrain_ng", "jrc_mus_nacc_2", "u2os_chromatin",
    "visor_bb001",
)  # fmt: skip

LISTED = {
    ("empiar_11759", "instrument"): "two names",
    ("empiar_11759", "voxel_size_y_nm"): "ångström read as nanometre",
    ("empiar_11759", "voxel_size_x_nm"): "ångström read as nanometre",
    ("empiar_11759", "working_distance_mm"): "micrometre read as millimetre",
}
"""What the archive or the file itself has wrong; its pixels (5628 × 5632) are those of the full size alone."""

Evidence = dict[str, tuple[list[Claim], list[VolumeRecord], list[Conflict]]]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, with_sources: Callable[[Path], Path]) -> Evidence:
    """Claims, records and conflicts of the seven, from the raw files that the sample's servers serve."""
    settings = Settings(store=with_sources(tmp_path_factory.mktemp("sample") / "store"), origin=SAMPLE)
    datasets = load(settings)
    with serving(settings) as origin:
        for name in SEVEN:
            acquire(datasets[name].sources, origin, settings.raw_dir(name), log=lambda _: None)
    found = {}
    for name in SEVEN:
        claims = building.claims(datasets[name], settings)
        records, conflicts = building.record(datasets[name], settings, claims)
        found[name] = (claims_of_table(claims), records_of_table(records), conflicts_of_table(conflicts))
    return found


def test_the_samples_conflicts_are_those_that_the_facts_list(sample: Evidence) -> None:
    found = [conflict for _, _, conflicts in sample.values() for conflict in conflicts]
    assert sorted((one.dataset, one.field) for one in found) == sorted(LISTED)
    assert [one for one in found if not str(one.cause).startswith(LISTED[one.dataset, one.field])] == []
    assert all(one.is_settled for one in found)


def test_the_samples_claims_are_all_read_but_those_without_a_unit(sample: Evidence) -> None:
    unread = {(one.claim.dataset, one.claim.field) for claims, _, _ in sample.values() for one in findings(claims)}
    assert unread == {("empiar_11759", "voxel_size_y_nm"), ("empiar_11759", "voxel_size_x_nm")}


def test_the_sample_breaks_no_rule_of_physics(sample: Evidence) -> None:
    assert [str(one) for claims, records, _ in sample.values() for one in implausible(records, claims)] == []


def test_what_the_registry_says_of_the_real_data_agrees_with_itself(tmp_path: Path) -> None:
    """Under `public` nothing is fetched here: each volume is as its entry records it."""
    alarms = []
    for name, dataset in load(Settings(store=tmp_path, origin=PUBLIC)).items():
        volumes = list(_recorded(dataset))
        claims = claims_of(dataset, [], volumes, PUBLIC)
        records, conflicts = resolve(dataset, volumes, claims, PUBLIC)
        alarms += [(name, one.field) for one in conflicts]
        alarms += [(name, str(one)) for one in [*implausible(records, claims), *findings(claims)]]
    assert alarms == []


def _recorded(dataset: Dataset) -> Iterator[RawVolume]:
    """The volumes of an entry: shape and type as recorded, their voxel size unknown to the file."""
    import numpy as np

    said = {(one.field, one.volume): one.value for one in dataset.recorded}
    names = sorted({one.volume or "em" for one in dataset.recorded if one.field == "shape_zyx"})
    for name in names:
        shape = said.get(("shape_zyx", name), said.get(("shape_zyx", None)))
        if not isinstance(shape, list):
            continue
        z, y, x = (int(str(size)) for size in shape)
        dtype = np.dtype(str(said.get(("dtype", None), "uint8")))
        level = SourceLevel((z, y, x), UNKNOWN_VOXEL_SIZE, read_box=lambda *_: np.zeros(1))
        source = SourceVolume(name, dataset.format or "tiff", dtype, (level,), ())
        levels = said.get(("source_n_levels", None), 1)
        yield RawVolume(name, "em", None, source, None, None, levels if isinstance(levels, int) else 1)
