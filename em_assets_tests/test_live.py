"""`make live`: do the real archives still hold what the registry says? Needs the internet: never in `make test`.

The same look at the sample's archives, over loopback, is an ordinary test, so that it is known to work.
"""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from looking_at_archives import Look, look_at

from em_assets.datasets import Dataset, builtin_names, get
from em_assets.model import Source, Statement
from em_assets.sample import serving
from em_assets.settings import PUBLIC, SAMPLE, Settings
from em_assets.sources.origins import PUBLIC_ORIGIN, Origin
from em_assets.terminal import show_rows


def builtin(settings: Settings) -> list[Dataset]:
    return [get(name, settings) for name in builtin_names()]


@pytest.mark.network
@pytest.mark.timeout(300)
def test_the_real_archives_hold_what_the_registry_says(tmp_path: Path) -> None:
    settings = Settings(store=tmp_path / "store", origin=PUBLIC)
    looks = look_at([dataset for dataset in builtin(settings) if dataset.is_served_by(PUBLIC)], PUBLIC_ORIGIN)
    print()  # noqa: T201  # behind pytest's own words
    show_rows([look.row for look in looks], title="The real archives and the registry")
    assert [f"{look.dataset.name}: {look.source.url}" for look in looks if not look.is_good] == []


@pytest.fixture(scope="module")
def sample(
    tmp_path_factory: pytest.TempPathFactory, with_sources: Callable[[Path], Path]
) -> Iterator[tuple[Settings, Origin]]:
    """The sample's archives, served."""
    settings = Settings(store=with_sources(tmp_path_factory.mktemp("live")), origin=SAMPLE)
    with serving(settings) as origin:
        yield settings, origin


@pytest.fixture(scope="module")
def looks(sample: tuple[Settings, Origin]) -> dict[str, list[Look]]:
    """One look at all of them."""
    settings, origin = sample
    found = look_at(builtin(settings), origin)
    return {name: [look for look in found if look.dataset.name == name] for name in builtin_names()}


READ = {"tiff": "a page of", "dm": "a page of", "hdf5": "an HDF5 file"}
"""By format, what a look at a source with voxels reads; of the others a chunk."""

EXACTLY = {
    "hemibrain_ng": "(64, 64, 64) uint8",
    "jrc_mus_nacc_2": "(56, 64, 64) int16",
    "fafb_v14": "(16, 64, 64) uint8",
}


@pytest.mark.parametrize("name", builtin_names())
def test_the_same_look_at_the_sample_finds_all_of_it(name: str, looks: dict[str, list[Look]]) -> None:
    for look in looks[name]:
        words = READ.get(look.dataset.format or "", "a chunk of") if look.source.is_volume else "bytes of"
        assert (look.failure, look.differs, look.is_good) == ("", (), True)
        assert look.n_files
        assert look.n_bytes or look.source.archive
        assert words in look.read
        assert EXACTLY.get(name, "") in look.read


def test_what_the_toml_file_says_otherwise_is_a_difference(sample: tuple[Settings, Origin]) -> None:
    settings, origin = sample
    jrc = get("jrc_mus_nacc_2", settings)
    wrong = (
        Statement(field="dtype", value="uint8", at="nowhere"),
        Statement(field="voxel_size_zyx_nm", value=[4, 4, 2.96], at="nowhere"),
    )
    (look,) = look_at([jrc.model_copy(update={"recorded": wrong})], origin)
    assert look.differs == (
        "dtype: uint8 in the TOML file, int16 there",
        "voxel_size_zyx_nm: [4, 4, 2.96] in the TOML file, [2.96, 4.0, 4.0] there",
    )
    assert look.row["matches TOML"] == "NO"


def test_recorded_numbers_of_files_and_bytes_are_compared(tmp_path: Path, small_tiff: Path) -> None:
    size = small_tiff.stat().st_size
    right = (
        Statement(field="source_bytes", value=size, at="here"),
        Statement(field="shape_zyx", value=[6, 40, 50], at="here"),
    )
    wrong = (Statement(field="n_files", value=2, at="nowhere"),)
    dataset = Dataset(name="mine", title="Mine", sources=(Source(url=str(small_tiff)),), recorded=right + wrong)
    (look,) = look_at([dataset], PUBLIC_ORIGIN)
    assert look.differs == ("n_files: 2 in the TOML file, 1 there",)


def test_an_archive_that_does_not_answer_is_a_row_with_the_reason() -> None:
    dataset = Dataset(name="gone", title="Gone", sources=(Source(url=f"http://127.0.0.1:{closed_port()}/a.tif"),))
    (look,) = look_at([dataset], PUBLIC_ORIGIN)
    assert (look.row["reachable"], look.row["matches TOML"], look.is_good) == ("NO", "", False)
    assert "no answer" in str(look.row["what differs"])


def test_an_archive_that_never_comes_to_an_end_is_left_behind() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.tif"
        (look,) = look_at([Dataset(name="slow", title="Slow", sources=(Source(url=url),))], PUBLIC_ORIGIN, 0.5)
    assert (look.failure, look.is_good) == ("not done within 0.5 s", False)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
