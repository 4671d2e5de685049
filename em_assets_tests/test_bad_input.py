"""Bad input: every kind ends in words that say what, where and what to do; no run is green and nothing looks whole."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from bad_sources import BAD, SHAPE, VOXELS, closed_port, read_whole, serving, write_files, write_toml
from click.testing import CliRunner

from em_assets import open_volume
from em_assets.cli import main
from em_assets.errors import EMAssetsError
from em_assets.settings import Settings
from em_assets.sources import read_manifest
from em_assets.volumes.store import committed_volumes

BIN = Path(sys.executable).parent

# dataset: (its source; HTTP and FILES stand for the server and the folder), what, where and what to do
CASES: Mapping[str, tuple[Mapping[str, Any], tuple[str, ...]]] = {
    "unreachable": ({"url": "CLOSED/a.tif"}, ("CLOSED/a.tif", "no answer", "a later try may succeed")),
    "not_there": ({"url": "HTTP/no_such.tif"}, ("HTTP/no_such.tif", "404", "mend `url`")),
    "path_not_there": ({"url": "FILES/no_such.tif"}, ("FILES/no_such.tif", "No such file", "mend `url`")),
    "empty_listing": ({"url": "HTTP/empty/"}, ("HTTP/empty/", "no file", "include")),
    "empty_folder": ({"url": "FILES/empty/"}, ("FILES/empty/", "no file", "include")),
    "nothing_matches": ({"url": "FILES/hole/", "include": ["*.dm3"]}, ("FILES/hole/", "*.dm3", "include")),
    "web_page": ({"url": "HTTP/page.tif"}, ("HTTP/page.tif", "web page", "open the URL in a browser")),
    "other_format": ({"url": "FILES/cut.mrc", "format": "tiff"}, ("cut.mrc", "tiff expected", "found mrc", "`format`")),
    "no_format": ({"url": "FILES/notes.txt"}, ("notes.txt", "found text", "`include`")),
    "cut_tiff": ({"url": "FILES/cut.tif"}, ("cut.tif", "cut short", "fetch it again")),
    "cut_dm3": ({"url": "FILES/cut.dm3"}, ("cut.dm3", "cut short", "fetch it again")),
    "cut_mrc": ({"url": "HTTP/cut.mrc"}, ("cut.mrc", "cut short", "fetch it again")),
    "zero_bytes": ({"url": "HTTP/zero.tif"}, ("zero.tif", "zero bytes", "fetch the file again")),
    "lfs_pointer": ({"url": "HTTP/pointer.tif"}, ("pointer.tif", "git-LFS pointer", "git lfs pull")),
    "a_hole": ({"url": "FILES/hole/"}, ("slice_3.tif", "git-LFS pointer", "git lfs pull")),
    "no_arrays": (
        {"url": "FILES/no_arrays.zarr/"},
        ("no_arrays/files", "arrays expected, found none", "fetch it again"),
    ),
    "no_level": ({"url": "FILES/no_level.zarr/"}, ("no_level/files", "'s0' is listed", "fetch it again")),
    "cut_chunk": ({"url": "FILES/cut_chunk.zarr/"}, ("c/1/1/1", "Truncated", "fetch it again")),
    "future_ome": ({"url": "FILES/future.zarr/"}, ("future_ome/files", "0.1 to 0.5", "'0.9'", "convert")),
    "outside": (
        {"url": "HTTP/good_precomputed", "kind": "cutout", "shape_zyx": [4, 8, 8], "start_zyx": [3, 0, 0]},
        ("HTTP/good_precomputed", "(7, 8, 8)", "(6, 40, 50)", "mend `start_zyx`"),
    ),
    "too_large_a_box": (
        {"url": "FILES/good_precomputed", "kind": "cutout", "shape_zyx": [7, 8, 8]},
        ("FILES/good_precomputed", "(7, 8, 8)", "(6, 40, 50)", "`shape_zyx`"),
    ),
    "no_box": (
        {"url": "HTTP/empty", "kind": "cutout", "shape_zyx": [4, 8, 8]},
        ("HTTP/empty", "no volume to cut from", "mend `url`"),
    ),
    "too_many_bytes": (
        {"url": "FILES/good.tif", "max_bytes": 100},
        ("good.tif", "13,086 bytes", "leave `max_bytes` out"),
    ),
    "spectrum": ({"url": "FILES/spectrum.dm3"}, ("spectrum.dm3", "is a spectrum", "only real-valued")),
    "complex": ({"url": "FILES/complex.tif"}, ("complex.tif", "complex data", "real numbers become volumes")),
    "colour": ({"url": "FILES/colour.tif"}, ("colour.tif", "colour data", "grey images become volumes")),
}
GOOD = ("first_good", "last_good")
NOT_FETCHED = {
    *("unreachable", "not_there", "path_not_there", "empty_listing", "empty_folder", "nothing_matches", "web_page"),
    *("outside", "too_large_a_box", "no_box", "too_many_bytes", "lfs_pointer"),
}
"""Cases in which the source gives nothing; in the others it gives its own bad bytes, and those are kept as they are."""


@dataclass(frozen=True)
class World:
    """What one call of `em-assets fetch` over every bad source, and a good one at either end, left behind."""

    folder: Path
    urls: Mapping[str, str]
    exit_code: int
    stdout: str
    stderr: str

    @property
    def settings(self) -> Settings:
        return Settings(store=self.folder / "store", datasets=self.folder / "datasets")

    @property
    def report(self) -> dict[str, Any]:
        return {run["dataset"]: run for run in json.loads(self.stdout)["runs"]}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad_files")
    write_files(folder)
    return folder


@pytest.fixture(scope="module")
def world(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("bad_input")
    with serving(files) as http:
        urls = {"HTTP": http, "FILES": str(files), "CLOSED": closed_port()}
        write_registry(folder / "datasets", urls)
        done = em_assets(folder, "fetch", "first_good", *CASES, "last_good", "--json")
        yield World(folder, urls, done.returncode, done.stdout, done.stderr)


def spelt(text: str, urls: Mapping[str, str]) -> str:
    return re.sub("|".join(urls), lambda match: urls[match[0]], text)


def em_assets(folder: Path, *arguments: str | Path, **variables: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command on the store and the registry of a folder."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("EM_ASSETS", "DAGSTER"))}
    named = {"EM_ASSETS_STORE": folder / "store", "EM_ASSETS_DATASETS": folder / "datasets", **variables}
    return subprocess.run(
        [BIN / "em-assets", *map(str, arguments)],
        env=kept | {key: str(value) for key, value in named.items()},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def write_registry(folder: Path, urls: Mapping[str, str]) -> None:
    folder.mkdir()
    for name, (source, _) in CASES.items():
        given = dict(source)
        keys = {"format": given.pop("format")} if "format" in given else {}
        write_toml(folder, name, given | {"url": spelt(given["url"], urls)}, **keys)
    for name in GOOD:
        write_toml(folder, name, {"url": f"{urls['HTTP']}/good.tif"})


def test_one_bad_dataset_makes_the_exit_code_1_and_stops_no_other(world: World) -> None:
    assert world.exit_code == 1
    assert "Traceback" not in world.stderr
    assert {name for name, run in world.report.items() if not run["is_failed"]} == set(GOOD)
    for name in GOOD:
        volume = open_volume(name, settings=world.settings)
        assert np.array_equal(volume.read((0, 0, 0), SHAPE), VOXELS)


@pytest.mark.parametrize("name", CASES)
def test_the_report_says_what_where_and_what_to_do(world: World, name: str) -> None:
    said = world.report[name]["error"]
    assert [words for words in CASES[name][1] if spelt(words, world.urls) not in said] == []
    assert f"{name}: FAILED: {said}" in world.stderr


def test_no_run_of_a_bad_dataset_is_green(world: World, tmp_path: Path) -> None:
    """In the history that the UI shows; keeping one takes longer than most of these runs, so of a few kinds."""
    bad = ("not_there", "lfs_pointer", "cut_tiff", "no_level", "outside", "colour")
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    assert em_assets(world.folder, "fetch", *bad, "last_good", DAGSTER_HOME=tmp_path).returncode == 1
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        ends = [
            (run.tags["dagster/partition"], run.status)
            for run in instance.get_runs()
            if "dagster/partition" in run.tags
        ]
    failed = [(name, dg.DagsterRunStatus.FAILURE) for name in bad]
    assert sorted(ends, key=str) == sorted([*failed, ("last_good", dg.DagsterRunStatus.SUCCESS)], key=str)


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_left_that_could_be_taken_for_whole(world: World, name: str) -> None:
    assert committed_volumes(world.settings.volumes_dir(name)) == {}
    assert list(world.settings.volumes_dir(name).rglob("zarr.json")) == []
    with pytest.raises(EMAssetsError):
        read_whole(open_volume(name, settings=world.settings))
    raw = world.settings.raw_dir(name)
    assert (read_manifest(raw) is None) == (name in NOT_FETCHED)
    if name in NOT_FETCHED:
        assert [path for path in (raw / "files").rglob("*") if path.is_file()] == []
    assert [path for path in raw.rglob("*") if ".partial" in path.name or ".cutout" in path.name] == []


def test_the_catalog_gives_no_address_for_what_was_not_written(world: World) -> None:
    asked = em_assets(world.folder, "query", "SELECT dataset FROM volumes WHERE url IS NOT NULL", "--json")
    assert [row["dataset"] for row in json.loads(asked.stdout)] == list(GOOD)


def test_an_unknown_voxel_size_stops_nothing(world: World, files: Path) -> None:
    shown = {row["dataset"]: row for row in json.loads(world.stdout)["datasets"]}
    assert [volume["voxel_size_zyx_nm"] for volume in shown["first_good"]["volumes"]] == [None]
    assert open_volume("first_good", settings=world.settings).voxel_size_zyx_nm is None
    assert open_volume(files / "good.tif").voxel_size_zyx_nm is None
    (check,) = [check for check in world.report["first_good"]["checks"] if check["check"] == "voxel_size_known"]
    assert check["result"] == "warning"


def test_the_tables_for_people_say_it_too(files: Path, tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    write_toml(tmp_path / "datasets", "good", {"url": str(files / "good.tif")})
    write_toml(tmp_path / "datasets", "bad", {"url": str(files / "pointer.tif")})
    done = em_assets(tmp_path, "fetch", "bad", "good")
    assert done.returncode == 1
    assert re.search("^FAILED bad: .*pointer.tif.*git-LFS pointer", done.stdout, re.MULTILINE)
    assert re.search("^good +em .* unknown ", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("command", ["fetch", "show"])
def test_an_unknown_dataset_names_the_known_ones(world: World, command: str) -> None:
    done = em_assets(world.folder, command, "first_goot")
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean 'first_good'?" in done.stderr
    assert "epfl_hippocampus" in done.stderr


TOMLS = {
    "a misspelt key": ("mine", "titel = 't'\n[source]\nurl = 'x'\n", "mine.toml: titel: unknown key"),
    "a misspelt key of a source": (
        "mine",
        "title = 't'\n[source]\nurl = 'x'\ninclud = ['*']\n",
        r"source\.0\.includ: unknown key; did you mean 'include'\?$",
    ),
    "an unknown protocol": ("mine", "title = 't'\n[source]\nurl = 'htp://a/b'\n", "mine.toml: source: url: htp://a/b"),
    "an impossible port": ("mine", "title = 't'\n[source]\nurl = 'http://a:99999/'\n", "url: http://a:99999/: Port"),
    "an impossible host": ("mine", "title = 't'\n[source]\nurl = 'http://[a/'\n", r"url: http://\[a/: "),
    "a name of its own": (
        "mine",
        "title = 't'\nname = 'n'\n[source]\nurl = 'x'\n",
        "mine.toml: name: .*rename",
    ),
    "a bad file name": ("My data", "title = 't'\n[source]\nurl = 'x'\n", "My data.toml: 'My data' is no dataset name"),
    "no TOML": ("mine", "title: t\n", "mine.toml: no TOML"),
}


@pytest.mark.parametrize(("name", "content", "said"), TOMLS.values(), ids=TOMLS)
def test_a_bad_dataset_file_is_named_with_its_key(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / f"{name}.toml").write_text(content)
    done = CliRunner().invoke(main, ["list"], env={"EM_ASSETS_DATASETS": str(tmp_path)})
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert re.search(said, done.stderr.strip())


def test_dagster_does_not_load_definitions_over_a_bad_dataset_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("titel = 't'\n[source]\nurl = 'x'\n")
    done = subprocess.run(
        [sys.executable, "-c", "import em_assets.definitions"],
        env=os.environ | {"EM_ASSETS_DATASETS": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"em_assets.errors.RegistryError: {tmp_path}/mine.toml: ")
    assert "titel: unknown key; did you mean 'title'?" in last


@pytest.mark.parametrize("name", BAD)
def test_ingest_refuses_in_one_line_and_leaves_nothing(files: Path, tmp_path: Path, name: str) -> None:
    done = CliRunner().invoke(main, ["ingest", str(files / name), str(tmp_path / "out.zarr")])
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert str(files / name) in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", BAD)
def test_tags_are_whole_or_refused_in_one_line(files: Path, name: str) -> None:
    """Tags need no pixels: a file of colours, say, still has them."""
    done = CliRunner().invoke(main, ["tags", str(files / name), "--json"])
    if done.exit_code == 0:
        assert json.loads(done.stdout)
    else:
        assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)


PROCESSES = {
    "tags: an address where nobody answers": (("tags", "CLOSED/a.tif"), 3, "no answer"),
    "ingest: an address where nobody answers": (("ingest", "CLOSED/a.zarr", "DEST"), 3, "no answer"),
    "tags: an address with nothing at it": (("tags", "HTTP/no_such.tif"), 2, "nothing there"),
    "tags: no address": (("tags", "http:///a.tif"), 2, "a host or bucket expected"),
    "tags: nothing at the path": (("tags", "FILES/no_such.tif"), 2, "found nothing"),
    "tags: a name longer than any file's": (("tags", f"FILES/{'a' * 300}"), 2, "File name too long"),
    "ingest: something is there already": (("ingest", "FILES/good.tif", "FILES"), 2, "exists already"),
    "ingest: no place for a folder": (("ingest", "FILES/good.tif", "FILES/good.tif/x"), 2, "cannot be written"),
    "query: no SQL": (("query", "selec"), 2, "(Tables: "),
    "query: no such table": (("query", "select * from tagz"), 2, "(Tables: "),
    "query: no question": (("query", "drop table tags"), 2, "a question expected"),
}


@pytest.mark.parametrize(("arguments", "code", "said"), PROCESSES.values(), ids=PROCESSES)
def test_a_command_ends_in_one_line(
    world: World, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    urls = {**world.urls, "DEST": str(tmp_path / "out.zarr")}
    done = em_assets(world.folder, *(spelt(argument, urls) for argument in arguments))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_librarys_own_words_stay_off_stderr(world: World, tmp_path: Path) -> None:
    """Logging prints what tifffile warns of where nobody has asked for it."""
    done = em_assets(
        world.folder, "ingest", f"{world.urls['FILES']}/good_odd_tag.tif", tmp_path / "out.zarr", "--content", "em"
    )
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert "the voxel size along z, y, x is unknown" in done.stderr


def test_a_query_before_there_is_a_catalog_says_what_makes_it(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["query", "select 1"], env={"EM_ASSETS_STORE": str(tmp_path / "store")})
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "em-assets fetch" in done.stderr
