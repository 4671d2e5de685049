"""`em-assets add`: what is written for an accession or address loads, fetches, and holds nothing that nobody said."""

import json
import re
import shutil
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
import tifffile

from em_assets.adding import Added, add, listing
from em_assets.datasets import Dataset, read_toml
from em_assets.datasets.opening import open_raw
from em_assets.errors import EMAssetsError, SourceMissingError, UnknownFormatError, UsageError
from em_assets.sample import serving
from em_assets.settings import Settings
from em_assets.sources import acquire
from em_assets_tests.formats.test_ome_zarr import axes, dataset, write_image

IDR = "ftp://ftp.ebi.ac.uk/pub/databases/IDR/idr0086-miron-micrographs/20200610-ftp/experimentD/Miron_FIB-SEM/"
HEMIBRAIN = "gs://neuroglancer-janelia-flyem-hemibrain/emdata/clahe_yz/jpeg"
NACC = "s3://janelia-cosem-datasets/jrc_mus-nacc-2/"
EPFL = "https://documents.epfl.ch/groups/c/cv/cvlab-unit/www/data/%20ElectronMicroscopy_Hippocampus/volumedata.tif"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, with_sources: Callable[[Path], Path]) -> Settings:
    """A store of the sample origin, with its look-alikes, and a folder for datasets."""
    folder = tmp_path_factory.mktemp("adding")
    (folder / "datasets").mkdir()
    return Settings(store=with_sources(folder / "store"), origin="sample", datasets=folder / "datasets")


def fetched(added: Added, settings: Settings) -> tuple[Dataset, dict[str, tuple[int, int, int]]]:
    """The dataset of a file that was written, and name → shape of the volumes that fetching it gives."""
    dataset, raw = read_toml(added.path), settings.raw_dir(added.dataset)
    with serving(settings) as origin:
        files = acquire(dataset.sources, origin, raw, log=str).files
    return dataset, {volume.name: volume.source.shape_zyx for volume in open_raw(dataset, raw, files)}


ADDRESSES = {
    "an EMPIAR accession": ("EMPIAR-11759", "dm", {"em": (16, 275, 274)}),
    "an EMPIAR page": ("https://www.ebi.ac.uk/empiar/EMPIAR-11759/", "dm", {"em": (16, 275, 274)}),
    "an IDR accession": ("idr0086", "tiff", None),
    "a bucket's folder": (NACC, "ome_zarr", {"em": (56, 252, 260)}),
    "a precomputed volume": (HEMIBRAIN, "precomputed", {"em": (240, 256, 272)}),
    "one file": (EPFL, "tiff", None),
}


@pytest.mark.parametrize(
    ("number", "address", "format", "shapes"), [(i, *one) for i, one in enumerate(ADDRESSES.values())], ids=ADDRESSES
)
def test_what_is_written_loads_and_fetches(
    number: int, address: str, format: str, shapes: dict[str, tuple[int, int, int]] | None, sample: Settings
) -> None:
    added = add(address, sample, name=f"x{number}")
    assert (added.format, added.path) == (format, sample.datasets and sample.datasets / f"x{number}.toml")
    dataset, found = fetched(added, sample)
    assert dataset.name == f"x{number}"
    assert found
    assert shapes is None or found == shapes


def test_an_archives_record_is_repeated_with_its_place_and_read_itself(sample: Settings) -> None:
    dataset = read_toml(add("EMPIAR-11759", sample, name="retina").path)
    said = {one.field: one for one in dataset.says}
    assert (said["technique"].value, said["technique"].at) == (
        "SBF-SEM",
        "https://www.ebi.ac.uk/empiar/api/entry/11759/ (/EMPIAR-11759/experiment_type)",
    )
    assert (said["voxel_size_zyx_nm"].value, said["voxel_size_zyx_nm"].unit) == ([50, 8, 8], "nm")
    assert [source.archive for source in dataset.sources] == [None, "empiar"]
    assert dataset.title == "Developing retina in zebrafish 55 hpf larval eye."


def test_a_number_without_a_unit_is_no_statement(sample: Settings) -> None:
    """EMPIAR's `pixel_width` of 80 is ångström, which nobody says: as nanometres it would be a wrong claim."""
    added = add("EMPIAR-11759", sample, name="no_unit")
    assert not [one for one in read_toml(added.path).says if one.value in (80, 80.0)]
    assert "# voxel_size_x_nm: '80.0', without a unit" in added.path.read_text()


def test_what_nobody_says_is_a_line_to_fill_in_and_no_value(sample: Settings) -> None:
    added = add("EMPIAR-11759", sample, name="unknowns")
    text = added.path.read_text()
    assert added.unknown == ("organism", "sample", "licence")
    for field in added.unknown:
        assert f'# field = "{field}"  # nobody says it' in text
    uncommented = text.replace("# [[says]]", "[[says]]").replace("# field", "field").replace("# value =", "value =")
    added.path.with_name("half_filled.toml").write_text(uncommented)
    with pytest.raises(EMAssetsError, match="no TOML"):  # an example that was left standing would be a claim
        read_toml(added.path.with_name("half_filled.toml"))
    added.path.with_name("half_filled.toml").unlink()


def test_an_experiments_own_files_are_heard_beside_the_study(sample: Settings) -> None:
    dataset = read_toml(add("idr0086", sample, name="chromatin").path)
    said = {one.field: one.value for one in dataset.says}
    assert (said["organism"], said["sample"], said["licence"]) == ("Homo sapiens", "U2OS", "CC BY 4.0")
    assert said["voxel_size_zyx_nm"] == [20, 20, 20]
    assert [Path(source.url).name for source in dataset.sources if source.archive] == [
        "idr0086-study.txt",
        "idr0086-experimentD-annotation.csv",
        "idr0086-experimentD-filePaths.tsv",
        "idr0086-experimentD-bulk.yml",
    ]


def test_a_volume_of_more_than_the_limit_is_proposed_as_a_box(sample: Settings) -> None:
    added = add(HEMIBRAIN, sample, name="boxed", max_bytes=300_000)
    dataset, shapes = fetched(added, sample)
    (source,) = dataset.sources
    assert (source.kind, source.shape_zyx, source.start_zyx, source.max_bytes) == (
        "cutout",
        (64, 64, 64),
        None,
        300_000,
    )
    assert shapes == {"em": (64, 64, 64)}
    assert "240 × 256 × 272 voxels" in added.path.read_text()
    assert "voxel_size_zyx_nm" not in added.unknown


def test_several_volumes_are_listed_to_choose_from(sample: Settings) -> None:
    with pytest.raises(UsageError, match="one volume expected, found several: choose s3://janelia-cosem-datasets/"):
        add("s3://janelia-cosem-datasets/", sample, name="which")


def test_a_name_that_is_taken_is_refused_and_nothing_is_touched(sample: Settings) -> None:
    first = add(EPFL, sample, name="taken")
    before = first.path.read_bytes()
    with pytest.raises(UsageError, match=r"taken.toml: exists already; choose another --name"):
        add(EPFL, sample, name="taken")
    with pytest.raises(UsageError, match="empiar_11759 is registered already: em-assets plan empiar_11759"):
        add("EMPIAR-11759", sample)
    assert first.path.read_bytes() == before


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("idr9999", SourceMissingError, "one study idr9999 expected, found 0"),
        ("EMPIAR-99999", SourceMissingError, "not there"),
        ("/no/such/stack.tif", SourceMissingError, "No such file"),
        ("https://user:secret@example.org/a.tif", UsageError, "password, key or signature is kept nowhere"),
        ("", UsageError, "found nothing"),
        ("gopher://example.org/a", EMAssetsError, "gopher:// is not supported"),
    ],
)
def test_what_cannot_be_added_is_said_and_nothing_is_written(
    sample: Settings, address: str, error: type[EMAssetsError], said: str
) -> None:
    with pytest.raises(error, match=re.escape(said)) as raised:
        add(address, sample, name="never")
    assert "secret" not in str(raised.value)
    assert sample.datasets is not None
    assert not (sample.datasets / "never.toml").exists()


@pytest.fixture
def local(tmp_path: Path) -> Settings:
    """Settings for files of one's own, and for a folder that mirrors archives."""
    for name in ("mirror", "datasets", "stacks"):
        (tmp_path / name).mkdir()
    return Settings(store=tmp_path / "store", origin=str(tmp_path / "mirror"), datasets=tmp_path / "datasets")


def stack(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.random.default_rng(3).integers(0, 255, (4, 16, 16), dtype=np.uint8)
    tifffile.imwrite(path, voxels, photometric="minisblack")
    return path


def test_a_path_is_read_where_it_lies(local: Settings, tmp_path: Path) -> None:
    added = add(str(stack(tmp_path / "stacks" / "My Stack (1).tif")), local)
    assert added.dataset == "my_stack_1"
    dataset, shapes = fetched(added, local)
    assert shapes == {"em": (4, 16, 16)}
    assert dataset.origins == ("public", "sample")


def test_two_formats_in_a_folder_are_a_choice_that_include_makes(local: Settings, tmp_path: Path) -> None:
    stack(tmp_path / "stacks/a.tif")
    (tmp_path / "stacks/notes.txt").write_text("three notes\n")
    shutil.copy(Path(tifffile.__file__), tmp_path / "stacks/code.py")
    import mrcfile

    with mrcfile.new(tmp_path / "stacks/b.mrc") as file:
        file.set_data(np.ones((2, 3, 4), np.int8))
    with pytest.raises(UsageError, match=r'--include "\*\*/\*\.tif" \(tiff, 1 files\), or --include'):
        add(f"{tmp_path}/stacks", local, name="both")
    added = add(f"{tmp_path}/stacks", local, name="both", include=["**/*.tif"])
    dataset, shapes = fetched(added, local)
    assert (dataset.sources[0].include, shapes) == (("**/*.tif",), {"em": (4, 16, 16)})


def test_an_image_that_cannot_be_opened_says_why_before_its_arrays_are_a_choice(
    local: Settings, tmp_path: Path
) -> None:
    """Its levels alone open well, each without a voxel size: who takes one should know what is wrong."""
    levels = {"s0": np.ones((8, 8, 8), np.uint8), "s1": np.ones((4, 4, 4), np.uint8)}
    image = write_image(
        tmp_path / "a.zarr", levels, {"axes": axes("zyx"), "datasets": [dataset("s1", [2, 2, 2]), dataset("s0")]}
    )
    with pytest.raises(UsageError, match=r"choose .*s0/.*; as one it cannot be opened: .*finest to the coarsest"):
        add(str(image), local, name="turned")


def test_what_no_format_knows_is_refused(local: Settings, tmp_path: Path) -> None:
    (tmp_path / "stacks/readme.txt").write_text("only words\n")
    with pytest.raises(UnknownFormatError, match="text that starts with"):
        add(f"{tmp_path}/stacks", local)


HOSTILE = '"""\n[[source]]\nurl = "file:///etc/passwd"\n#\x7f\x00\u2028 \ud800 \\'


def test_a_hostile_record_stays_text(local: Settings, tmp_path: Path) -> None:
    """Quotes, line ends, control characters and lone surrogates in a record open no second table of the file."""
    tree = tmp_path / "mirror"
    stack(tree / "ftp.ebi.ac.uk/empiar/world_availability/4242/data/stack.tif")
    api = tree / "www.ebi.ac.uk/empiar/api/entry/4242"
    api.mkdir(parents=True)
    image_set = {"details": HOSTILE, "pixel_width": HOSTILE, "directory": HOSTILE}
    entry = {"title": HOSTILE, "experiment_type": HOSTILE, "scale": "x" * 10_000, "dataset_size": "1e999 GB"}
    entry |= {"entry_doi": HOSTILE, "imagesets": [image_set], "citation": [{"title": HOSTILE}], "release_date": HOSTILE}
    (api / "index.json").write_text(json.dumps({"EMPIAR-4242": entry}))
    added = add("EMPIAR-4242", local)
    dataset = read_toml(added.path)
    assert [source.url.partition("://")[0] for source in dataset.sources] == ["https", "https"]
    assert {one.field for one in dataset.says} <= {"technique", "doi"}
    assert max(map(len, added.path.read_text().splitlines())) < 1500
    assert fetched(added, local)[1] == {"em": (4, 16, 16)}


def test_hostile_names_of_files_stay_text(local: Settings, tmp_path: Path) -> None:
    stack(tmp_path / "stacks" / 'a"\n[[source]]\nurl = "x".tif')
    stack(tmp_path / "stacks" / "b.tif")
    added = add(f"{tmp_path}/stacks/", local, name="odd")
    assert [source.url for source in read_toml(added.path).sources] == [f"{tmp_path}/stacks/"]


def test_a_tree_without_end_is_listed_within_bounds(local: Settings, tmp_path: Path) -> None:
    from em_assets.adding.listing import MOST_FOLDERS

    for number in range(MOST_FOLDERS + 5):
        (tmp_path / f"stacks/{number:04}").mkdir()
    stack(tmp_path / "stacks/0000/a.tif")
    added = add(f"{tmp_path}/stacks/", local, name="wide")
    assert "not everything was listed" in added.remarks[0]
    assert "as far as they were listed" in added.path.read_text()


def test_globs_of_the_address_are_not_kept_for_a_folder_below_it(local: Settings, tmp_path: Path) -> None:
    """They would exclude everything there."""
    import zarr

    group = zarr.open_group(tmp_path / "stacks/run_1/em.zarr", mode="w", zarr_format=2)
    group.create_array("s0", data=np.ones((4, 16, 16), np.uint8), chunks=(4, 8, 8))
    axes = [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"]
    scale = [{"type": "scale", "scale": [5.0, 5.0, 5.0]}]
    datasets = [{"path": "s0", "coordinateTransformations": scale}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    stack(tmp_path / "stacks/run_2/other.tif")
    added = add(f"{tmp_path}/stacks/", local, name="below", include=["run_1/**"])
    dataset, shapes = fetched(added, local)
    (source,) = dataset.sources
    assert (source.url, source.include) == (f"{tmp_path}/stacks/run_1/em.zarr/", ("**",))
    assert shapes == {"em": (4, 16, 16)}


class _Slow(BaseHTTPRequestHandler):
    """A folder with one file, and one whose listing does not come before somebody lets it."""

    let = Event()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.path == "/data/slow/":
            self.let.wait()
        if self.path not in ("/data/", "/data/a.tif"):
            self.send_error(404)
            return
        is_file = self.path.endswith(".tif")
        body = Path(self.server.file).read_bytes() if is_file else b'<a href="a.tif">a</a> <a href="slow/">slow</a>'  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Type", "image/tiff" if is_file else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_what_was_found_before_the_time_was_used_up_is_written_and_said_to_be_a_part(
    local: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "LOOK_S", 3.0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Slow)
    server.file = stack(tmp_path / "stacks" / "a.tif")  # type: ignore[attr-defined]
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        added = add(f"http://127.0.0.1:{server.server_address[1]}/data/", local, name="slow")
    finally:
        _Slow.let.set()
        server.shutdown()
        server.server_close()
    assert "not everything was listed" in added.remarks[0]
    assert "as far as they were listed, the first one a.tif" in added.path.read_text()


@pytest.mark.parametrize(
    ("address", "name"),
    [("STACKS/ÄÖ-Schicht.tif", "schicht"), ("STACKS/..a..tif", "a"), ("STACKS/9 days.tif", "9_days")],
)
def test_names_become_names_of_datasets(local: Settings, tmp_path: Path, address: str, name: str) -> None:
    path = stack(Path(address.replace("STACKS", str(tmp_path / "stacks"))))
    assert add(str(path), local).dataset == name


def test_a_name_without_any_letter_is_asked_for(local: Settings, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="choose one with --name"):
        add(str(stack(tmp_path / "stacks" / "Ω.tif")), local)
