"""What holds of every entry of `LAYOUTS`: clean, the same again, whole or not there, and back where it can."""

import hashlib
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
from cases import CASES
from holding import hold

from em_assets import layouts, open_volume
from em_assets.layouts.interface import Exported
from em_assets.remote.path import remote_path
from em_assets.settings import Settings
from em_assets.volumes.store import committed_volumes

KILLED_AT = ("0.5", "0.97")
MANY = tuple(f"{step / 50:.2f}" for step in range(1, 50))

every_layout = pytest.mark.parametrize("layout", layouts.LAYOUTS)


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def voxels_of(dataset: str, settings: Settings) -> dict[str, list[object]]:
    """Digest of the finest level's values → voxel size: what a round trip must keep, whatever the volumes' names."""
    found = {}
    for name in committed_volumes(settings.volumes_dir(dataset)):
        volume = open_volume(dataset, volume=name, settings=settings)
        digest = hashlib.sha256(repr(volume.shape).encode() + volume[...].astype(np.float64).tobytes()).hexdigest()
        found[digest] = [round(size, 6) for size in volume.require_voxel_size()]
    return found


@pytest.fixture(scope="session")
def exported(held_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Name of a layout → the place where its case was exported to, once."""
    done: dict[str, Path] = {}

    def export(layout: str) -> Path:
        if layout not in done:
            done[layout] = tmp_path_factory.mktemp(layout)
            layouts.export(CASES[layout].datasets, held_settings, layout, done[layout])
        return done[layout]

    return export


def export_again(layout: str, dest: Path, settings: Settings) -> list[Exported]:
    return layouts.export(CASES[layout].datasets, settings, layout, dest)


def test_every_layout_has_its_case() -> None:
    assert set(CASES) == set(layouts.LAYOUTS)


@every_layout
def test_an_export_consists_of_what_its_layout_says(layout: str, exported: Callable[[str], Path]) -> None:
    found = sorted(path.name for path in exported(layout).iterdir())
    assert len(found) == len(CASES[layout].entries)
    assert all(any(fnmatch(name, entry) for entry in CASES[layout].entries) for name in found)


@every_layout
def test_its_validator_finds_nothing(
    layout: str, exported: Callable[[str], Path], validate: Callable[..., list[str]]
) -> None:
    for name, entry, *options in CASES[layout].validators:
        (path,) = exported(layout).glob(entry)
        assert validate(name, str(path), *options) == []


@every_layout
def test_the_same_export_again_changes_nothing(
    layout: str, exported: Callable[[str], Path], held_settings: Settings
) -> None:
    before = {path: path.stat().st_ino for path in exported(layout).rglob("*")}
    assert [one.is_new for one in export_again(layout, exported(layout), held_settings)].count(True) == 0
    assert {path: path.stat().st_ino for path in exported(layout).rglob("*")} == before


@every_layout
def test_two_exports_have_the_same_bytes(
    layout: str, exported: Callable[[str], Path], held_settings: Settings, tmp_path: Path
) -> None:
    export_again(layout, tmp_path, held_settings)
    assert files_below(tmp_path) == files_below(exported(layout))


def kill(settings: Settings, where: str, fractions: tuple[str, ...], chosen: Sequence[str] = tuple(CASES)) -> None:
    """Export each layout's case once for each fraction, and be killed there."""
    command = [sys.executable, str(Path(__file__).with_name("killing_exports.py")), str(settings.store), where]
    cases = json.dumps({layout: CASES[layout].datasets for layout in chosen})
    done = subprocess.run([*command, *fractions], input=cases, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # The last points may lie behind the end: the whole export, which went first, made folders that are there by now.
    assert min(json.loads(done.stdout).values()) >= 0.9 * len(fractions) - 1


def torn_entries(place: Path, expected: Mapping[str, bytes]) -> set[str]:
    """Entries at a place that are there and not as they should be."""
    found = {name: data for name, data in files_below(place).items() if not name.startswith(".staging-")}
    entries = {name.partition("/")[0] for name in found}
    wanted = {name: data for name, data in expected.items() if name.partition("/")[0] in entries}
    return {name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)}


@pytest.fixture(scope="module")
def killed(held_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of killed exports: layout, fraction."""
    folder = tmp_path_factory.mktemp("killed")
    kill(held_settings, str(folder), KILLED_AT)
    return folder


@every_layout
def test_a_killed_export_is_whole_or_not_there_and_the_next_one_leaves_no_litter(
    layout: str, exported: Callable[[str], Path], held_settings: Settings, killed: Path
) -> None:
    expected = files_below(exported(layout))
    assert [torn_entries(killed / layout / at, expected) for at in KILLED_AT] == [set()] * len(KILLED_AT)
    export_again(layout, killed / layout / KILLED_AT[-1], held_settings)
    assert files_below(killed / layout / KILLED_AT[-1]) == expected


def test_an_export_to_a_bucket_that_is_killed_has_no_outermost_document(
    exported: Callable[[str], Path],
    held_settings: Settings,
    new_bucket: Callable[[], str],
    s3_environment: dict[str, str],
) -> None:
    bucket, expected, points = new_bucket(), files_below(exported("visor")), ("0.7", "0.8", "0.9")
    kill(held_settings, bucket, points, ["visor"])
    places = [remote_path(f"{bucket}/visor/{at}", s3_environment) for at in points]
    found = [set(place.objects()) for place in places]
    assert any(0 < len(keys) < len(expected) for keys in found)
    assert [keys for keys in found if "visor_bb001/.zgroup" in keys and keys != set(expected)] == []
    for place in places:
        layouts.export(["visor_bb001"], held_settings, "visor", place)
        assert {key: (place / key).read_bytes() for key in place.objects()} == expected


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_exports_killed_at_49_points_of_each_layout_are_never_torn(
    exported: Callable[[str], Path], held_settings: Settings, tmp_path: Path
) -> None:
    kill(held_settings, str(tmp_path), MANY)
    for layout in layouts.LAYOUTS:
        expected = files_below(exported(layout))
        for at in MANY:
            assert torn_entries(tmp_path / layout / at, expected) == set()
            export_again(layout, tmp_path / layout / at, held_settings)
            assert files_below(tmp_path / layout / at) == expected


@pytest.mark.parametrize("layout", [name for name in layouts.LAYOUTS if layouts.can_import(name)])
def test_what_goes_out_comes_back_with_equal_voxels(
    layout: str, exported: Callable[[str], Path], held_settings: Settings, tmp_path: Path
) -> None:
    (name,) = CASES[layout].datasets
    (entry,) = exported(layout).iterdir()
    registry = tmp_path / "registry"
    registry.mkdir()
    described = layouts.describe_tree(str(entry), layout, "returned")
    (registry / "returned.toml").write_text(described.toml)
    assert tomllib.loads(described.toml)["title"]
    settings = Settings(store=tmp_path / "store", datasets=registry)
    hold("returned", settings)
    assert voxels_of("returned", settings) == voxels_of(name, held_settings)


def test_a_wrong_layout_lists_those_that_there_are(held_settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(layouts.UsageError, match="visor-2025"):
        layouts.export(["visor_bb001"], held_settings, "visorr", tmp_path)
