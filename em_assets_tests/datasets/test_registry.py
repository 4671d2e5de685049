"""One TOML a dataset: what comes with the package loads, and what is wrong is named with its file and key."""

import re
import subprocess
import tomllib
from math import prod
from pathlib import Path

import pytest

from em_assets import datasets
from em_assets.errors import RegistryError, UnknownDatasetError
from em_assets.model import NAME_PATTERN, Part
from em_assets.settings import Settings
from em_assets.sources import source_prefixes

REPOSITORY = Path(__file__).resolve().parents[2]
TECHNIQUES = {
    "FIB-SEM",
    "SBF-SEM",
    "ssTEM",
    "ssSEM",
    "TEM",
    "SEM",
    "cryo-ET",
    "electron tomography",
    "light-sheet",
    "other",
}
SMALLEST = """\
title = "A stack of mine"
format = "tiff"                       # found by its magic bytes when left out
[source]
kind = "files"                        # or "cutout": a box of a remote volume
url = "https://example.org/stacks/"   # a file, a folder, s3://, gs://, ftp://, file:// or a path
include = ["*.tif"]
max_bytes = 20_000_000_000            # the default: a plan above it is refused with the figure and the ways on
[[says]]                              # what the publisher says; `at` is a URL where there is one, else free text
field = "voxel_size_zyx_nm"
value = [50, 8, 8]
at = "https://example.org/stacks/about.html"
[[recorded]]                          # what the real files were seen to say before
field = "voxel_size_zyx_nm"
value = [50, 7.998250424861908, 7.998250424861908]
at = "slice_0000.dm3: ImageList.1…Calibrations.Dimension.0.Scale"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A store, and an empty folder for a user's own datasets."""
    (tmp_path / "mine").mkdir()
    return Settings(store=tmp_path / "store", datasets=tmp_path / "mine")


def written(settings: Settings, text: str, name: str = "mine") -> Path:
    assert settings.datasets is not None
    path = settings.datasets / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_all_that_come_with_the_package_load_and_every_statement_says_where(settings: Settings) -> None:
    known = datasets.load(settings)
    assert tuple(known) == datasets.builtin_names()
    assert set(datasets.demo_names()) < set(known)
    for dataset in known.values():
        assert dataset.last_confirmed_live == "never"
        assert all(statement.at for statement in (*dataset.says, *dataset.recorded))
        assert dataset.format or dataset.name == "cryoet_10001"


def test_what_they_say_keeps_to_the_vocabulary_and_who_says_no_technique_says_so(settings: Settings) -> None:
    for dataset in datasets.load(settings).values():
        techniques = [statement.value for statement in dataset.says if statement.field == "technique"]
        assert set(techniques) <= TECHNIQUES
        assert len(techniques) == 1 or (not techniques and "technique" in (dataset.unconfirmed or ""))


@pytest.mark.parametrize("name", sorted(set(datasets.builtin_names()) - set(datasets.demo_names())))
def test_what_was_not_confirmed_is_said_of_those_that_nobody_has_opened(settings: Settings, name: str) -> None:
    dataset = datasets.get(name, settings)
    assert "licence" in (dataset.unconfirmed or "")
    assert (dataset.format, dataset.origins) != (None, ())
    for source in dataset.sources:
        assert source.kind == "files" or prod(source.shape_zyx or ()) <= 1_000_000_000


def test_make_demo_takes_those_whose_files_say_so() -> None:
    made = subprocess.run(
        ["make", "-n", "demo"], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60
    )
    (names,) = re.findall(r"em-assets fetch (.*)$", made.stdout, re.MULTILINE)
    assert tuple(names.split()) == datasets.demo_names()


def test_parts_of_a_file_are_volumes_with_names_of_their_own(settings: Settings) -> None:
    cremi = datasets.get("cremi_a", settings)
    assert cremi.sources[0].volume_names == ("raw", "neuron_ids", "clefts")
    written(settings, SMALLEST.replace("[[says]]", '[[source.part]]\ninside = "a/b"\nvolume = "b"\n[[says]]', 1))
    assert datasets.get("mine", settings).sources[0].parts == (Part(inside="a/b", volume="b"),)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("empiar_11759", "voxel_size_zyx_nm", [50, 7.998250424861908, 7.998250424861908]),
        ("epfl_hippocampus", "shape_zyx", [1065, 1536, 2048]),
        ("jrc_mus_nacc_2", "source_n_levels", 9),
    ],
)
def test_what_the_real_files_said_is_recorded(settings: Settings, name: str, field: str, value: object) -> None:
    recorded = {statement.field: statement.value for statement in datasets.get(name, settings).recorded}
    assert recorded[field] == value


def test_the_golden_metadata_agrees_with_what_is_recorded(settings: Settings, shared: Path) -> None:
    import json

    golden = json.loads((shared / "golden" / "jrc_mus_nacc_zarr_metadata.json").read_text())
    recorded = {one.field: one.value for one in datasets.get("jrc_mus_nacc_2", settings).recorded}
    levels = golden["attrs"]["multiscales"][0]["datasets"]
    assert recorded["source_n_levels"] == len(levels)
    assert recorded["voxel_size_zyx_nm"] == levels[0]["coordinateTransformations"][0]["scale"]


def test_what_depends_on_size_is_not_said_of_the_sample(settings: Settings) -> None:
    empiar = datasets.get("empiar_11759", settings)
    fields = {one.statement.field for one in empiar.said_under("sample")}
    assert "shape_zyx" not in fields
    assert "voxel_size_zyx_nm" in fields
    assert "shape_zyx" in {one.statement.field for one in empiar.said_under("public")}


def test_the_visor_sample_has_no_public_source(settings: Settings) -> None:
    visor = datasets.get("visor_bb001", settings)
    assert visor.origins == ("sample",)
    assert (visor.is_served_by("sample"), visor.is_served_by("/a/mirror")) == (True, False)


def test_the_smallest_file_of_the_readme_loads(settings: Settings) -> None:
    written(settings, SMALLEST)
    mine = datasets.get("mine", settings)
    assert mine.sources[0].include == ("*.tif",)
    assert mine.says[0].value == [50, 8, 8]
    assert mine.recorded[0].at.startswith("slice_0000.dm3")


def test_an_archives_record_holds_no_voxels_and_lies_apart(settings: Settings) -> None:
    """One source with data keeps plain paths, whatever records stand beside it."""
    written(
        settings,
        'title = "t"\n[[source]]\nurl = "em.tif"\n[[source]]\nurl = "a.txt"\narchive = "idr"\n'
        '[[source]]\nurl = "b.csv"\narchive = "idr"\n',
    )
    sources = datasets.get("mine", settings).sources
    assert [source.is_volume for source in sources] == [True, False, False]
    assert source_prefixes(sources) == ("", "archive_idr/", "archive_idr/")
    assert source_prefixes((*sources, sources[0])) == ("0/", "archive_idr/", "archive_idr/", "3/")


def test_five_datasets_of_three_techniques_less_and_four_organisms(settings: Settings) -> None:
    """The registry alone tells what others counted wrong: four FIB-SEM and one SBF-SEM, mouse twice."""
    of_demo = {name: datasets.get(name, settings) for name in datasets.demo_names()}
    five = [one for name, one in of_demo.items() if name not in ("cryoet_10001", "visor_bb001")]
    said = [{one.field: one.value for one in dataset.says} for dataset in five]
    assert sorted(str(one["technique"]) for one in said) == ["FIB-SEM"] * 4 + ["SBF-SEM"]
    assert len({one["organism"] for one in said}) == len({one["organism_taxon"] for one in said}) == 4


def test_a_title_and_a_url_are_enough(settings: Settings) -> None:
    written(settings, 'title = "t"\n[source]\nurl = "data/"\n')
    assert datasets.get("mine", settings).sources[0].url == f"{settings.datasets}/data/"


def test_several_sources_may_hold_a_volume_and_its_labels(settings: Settings) -> None:
    written(
        settings,
        'title = "t"\n[[source]]\nurl = "em.tif"\n[[source]]\nurl = "l.tif"\nvolume = "l"\n'
        'content = "labels"\nlabels_of = "em"\n',
    )
    assert [source.labels_of for source in datasets.get("mine", settings).sources] == [None, "em"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('title = "t"\n[source]\nurll = "x"\n', r"mine\.toml: source\.0\.urll: unknown key; did you mean 'url'\?"),
        ('titel = "t"\n[source]\nurl = "x"\n', r"mine\.toml: titel: unknown key; did you mean 'title'\?"),
        (
            'title = "t"\n[source]\nurl = "htps://a/b"\n',
            r"mine\.toml: source.*htps:// is unknown; did you mean 'https'",
        ),
        ('title = "t"\n[source]\nurl = ""\n', r"mine\.toml: source.*empty"),
        ('title = "t"\n[source]\nurl = "https:///x"\n', r"mine\.toml: source.*no host"),
        ('title = "t"\nformat = "tif"\n[source]\nurl = "x"\n', r"mine\.toml: format: .*did you mean 'tiff'"),
        ('title = "t"\n', r"mine\.toml: no \[source\]"),
        (
            'title = "t"\n[sorce]\nurl = "x"\n',
            r"mine\.toml: sorce: unknown key; did you mean 'source'\?; .*mine\.toml: no \[source\]",
        ),
        (
            'titel = "t"\nfoo = 1\n',
            r"mine\.toml: titel: unknown key; did you mean 'title'\?; .*mine\.toml: foo: unknown key; .*no \[source\]",
        ),
        (
            'title = "t"\n[source]\nurl = "x"\n[[sais]]\nfield = "f"\n',
            r"mine\.toml: sais: unknown key; did you mean 'says'\?$",
        ),
        ("title = \n", r"mine\.toml: no TOML"),
        ('title = "t"\n[source]\nurl = "x"\nmax_bytes = -1\n', r"mine\.toml: source\.0\.max_bytes: .*-1"),
        ('title = "t"\n[source]\nurl = "x"\nkind = "cutout"\n', r"mine\.toml: source\.0: shape_zyx"),
        ('title = "t"\n[source]\nurl = "x"\nlevel = 1\n', r"mine\.toml: source\.0: .*level.*only for kind"),
        ('title = "t"\n[source]\nurl = "x"\n[[source.part]]\ninside = "a"\n', r"source\.0\.part\.0\.volume"),
        (
            'title = "t"\n[source]\nurl = "x"\nvolume = "v"\n[[source.part]]\ninside = "a"\nvolume = "a"\n',
            r"mine\.toml: source\.0: part: a part has its own volume",
        ),
        (
            'title = "t"\n[source]\nurl = "x"\n[[source.part]]\ninside = "a"\nvolume = "a"\ncontent = "labels"\n'
            'labels_of = "b"\n',
            r"mine\.toml: source: labels_of = 'b' names no volume; there are: a",
        ),
        ('title = "t"\n[source]\nurl = "x"\nvolume = "../x"\n', r"mine\.toml: source\.0\.volume"),
        ('title = "t"\n[source]\nurl = "x"\n[[says]]\nfield = "f"\nvalue = 1\n', r"mine\.toml: says\.0\.at"),
        (
            'title = "t"\n[source]\nurl = "x"\ncontent = "labels"\nlabels_of = "en"\n',
            r"mine\.toml: source: labels_of = 'en' names no volume",
        ),
        (
            'title = "t"\n[[source]]\nurl = "x"\n[[source]]\nurl = "r.json"\narchive = "empair"\n',
            r"mine\.toml: source\.1\.archive: .*found 'empair'; did you mean 'empiar'\?",
        ),
        (
            'title = "t"\n[source]\nurl = "x"\narchiv = "idr"\n',
            r"source\.0\.archiv: unknown key; did you mean 'archive'",
        ),
        ('title = "t"\n[source]\nurl = "x"\narchive = "idr"\n', r"mine\.toml: source: nothing but archives' records"),
        (
            'title = "t"\n[[source]]\nurl = "x"\n[[source]]\nurl = "r"\narchive = "idr"\nis_volume = true\n',
            r"mine\.toml: source\.1: archive: an archive's record is files without a volume",
        ),
        (
            'title = "t"\n[source]\nurl = "x"\n[[says]]\nfield = "voxel_size_zyx_nm"\nvalue = [50, 8]\nat = "p"\n',
            r"mine\.toml: says: 0\.value: voxel_size_zyx_nm needs 3 numbers \(z, y, x\), found \[50, 8\]$",
        ),
        (
            'title = "t"\n[source]\nurl = "x"\n[[recorded]]\nfield = "voxel_size_zyx_nm"\nvalue = 8\nat = "p"\n',
            r"mine\.toml: recorded: 0\.value: voxel_size_zyx_nm needs 3 numbers \(z, y, x\), found 8$",
        ),
        ('title = "t"\nlast_confirmed_live = "soon"\n[source]\nurl = "x"\n', r"mine\.toml: last_confirmed_live"),
    ],
)
def test_a_mistake_is_named_with_file_and_key(settings: Settings, text: str, message: str) -> None:
    written(settings, text)
    with pytest.raises(RegistryError, match=message):
        datasets.load(settings)


@pytest.mark.parametrize("name", ["Mine", "a-b", "a,b", "_a", "a b"])
def test_a_file_name_that_is_no_partition_key_is_refused(settings: Settings, name: str) -> None:
    written(settings, SMALLEST, name)
    with pytest.raises(RegistryError, match="is no dataset name"):
        datasets.load(settings)


def test_a_name_that_is_taken_is_refused_with_both_files(settings: Settings) -> None:
    path = written(settings, SMALLEST, "epfl_hippocampus")
    with pytest.raises(RegistryError, match=rf"{path}.*em_assets/datasets/epfl_hippocampus\.toml"):
        datasets.load(settings)


def test_an_unknown_dataset_is_answered_with_those_that_there_are(settings: Settings) -> None:
    with pytest.raises(UnknownDatasetError, match=r"did you mean 'empiar_11759'\?.*visor_bb001"):
        datasets.get("empiar_11795", settings)


def test_every_name_is_a_partition_key_and_every_file_ends_in_a_known_key() -> None:
    for path in datasets.BUILTIN_DIR.glob("*.toml"):
        assert NAME_PATTERN.fullmatch(path.stem)
        assert "source" in tomllib.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [("voxel_size_zxy_nm", "[8, 8, 8]", "did you mean 'voxel_size_zyx_nm'"), ("content", '"cells"', "no content")],
)
def test_a_slip_in_a_statement_is_named(settings: Settings, field: str, value: str, reason: str) -> None:
    path = written(settings, f'{SMALLEST}[[says]]\nfield = "{field}"\nvalue = {value}\nat = "x"\n')
    with pytest.raises(RegistryError, match=reason):
        datasets.read_toml(path)
