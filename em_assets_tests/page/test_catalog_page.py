"""What the page says of a store: all that is held, what is unknown or damaged, and how large things are."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from PIL import Image

from em_assets import datasets
from em_assets.catalog.schemas import CONFLICTS, FIELDS, RECORD
from em_assets.catalog.tables import read_table, records_of_table, write_table
from em_assets.cli import main
from em_assets.errors import OriginMismatchError
from em_assets.model import RawFile
from em_assets.page.cards import origin_of
from em_assets.page.catalogue import PICTURES_BYTES, Catalogue, catalogue_of, picture_bytes
from em_assets.page.checks import MOST_FILES, checks_of_volume
from em_assets.page.rendering import doi_link, link, page_html, shown
from em_assets.page.writing import Written, write_page
from em_assets.settings import Settings
from em_assets.sources import read_manifest
from em_assets.volumes.store import resolve

SHOWN = ("cryoet_10001", "empiar_11759", "epfl_hippocampus", "u2os_chromatin")


@pytest.fixture
def own(held: Settings, tmp_path: Path) -> Settings:
    """The same store in another folder, to be changed."""
    shutil.copytree(held.store, tmp_path / "store", symlinks=True, ignore=shutil.ignore_patterns("sample_sources"))
    return replace(held, store=tmp_path / "store")


def page_of(settings: Settings) -> str:
    return write_page(datasets.load(settings), settings).path.read_text("utf-8")


def card_of(page: str, anchor: str) -> str:
    """The text of a card, without its tags."""
    (card,) = re.findall(rf'<article class="card" id="{re.escape(anchor)}".*?</article>', page, re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", card)).replace("\N{NO-BREAK SPACE}", " "))


def test_every_thumbnail_is_a_picture_of_its_volume(written: Written) -> None:
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', written.path.read_text())
    assert len(pictures) == len(written.catalogue.cards) == 6
    for encoded in pictures:
        with Image.open(BytesIO(base64.b64decode(encoded))) as image:
            assert max(image.size) <= 256
            assert np.asarray(image.convert("L")).std() > 20


def test_scale_bars_measure_the_volume(written: Written) -> None:
    """5,600 nm lie along x of a volume whose planes share 254 pixels with 920 nm of its depth."""
    card = next(card for card in written.catalogue.cards if card.anchor == "u2os_chromatin/xy")
    assert card.picture is not None
    assert card.picture.bar is not None
    assert card.picture.bar.length_nm == 2000
    assert card.picture.bar.pixels == pytest.approx(2000 * 254 / (5600 + 920), rel=0.01)
    assert 'aria-label="Scale bar of 2\N{NO-BREAK SPACE}\N{MICRO SIGN}m"' in written.path.read_text()


def test_what_is_unknown_is_said_and_counted(written: Written) -> None:
    page = written.path.read_text()
    card = card_of(page, "epfl_hippocampus/em")
    assert "12 of 30 fields unknown" in card
    assert "Licence unknown nobody says it" in card.replace("licence unknown ", "")
    assert "12 unknown: description , authors , contrast_polarity" in card
    unknown = sum(len(card.unknown) for card in written.catalogue.cards)
    assert f"{unknown} of {written.catalogue.n_fields}\N{NO-BREAK SPACE}fields unknown" in page


def test_a_disputed_value_names_both_sides(written: Written) -> None:
    card = card_of(written.path.read_text(), "empiar_11759/em")
    assert "4 conflicts, settled" in card
    assert "archive https://www.ebi.ac.uk/empiar/api/entry/11759/ says 80 nm , a factor of 10: ångström read as" in card


def test_a_value_that_nobody_wins_is_unknown_with_all_who_speak(own: Settings) -> None:
    folder = own.metadata_dir("empiar_11759")
    _edit(folder, FIELDS, lambda row: row["field"] == "voxel_size_x_nm", value=None, is_unknown=True, said_by=None)
    _edit(folder, CONFLICTS, lambda row: row["field"] == "voxel_size_x_nm", is_settled=False)
    _edit(folder, RECORD, lambda row: True, voxel_size_x_nm=None)
    card = card_of(page_of(own), "empiar_11759/em")
    assert "4 conflicts, 1 open" in card
    assert "50 × 7.998 × ? nm" in card
    assert "open: 7.998250425 nm, says F57-8_test1_3VBSED_slice_0000.dm3" in card
    assert "unknown along x" in card


def test_the_same_store_gives_the_same_bytes_wherever_it_lies(written: Written, own: Settings) -> None:
    assert page_of(own) == written.path.read_text()
    assert str(own.store) not in page_of(own)


def test_damage_is_told_in_the_same_words_wherever_the_store_lies(own: Settings, tmp_path: Path) -> None:
    """Neither the path of the store nor that of a mirror stands in a page that may be mailed."""
    (own.metadata_dir("epfl_hippocampus") / "claims.parquet").write_bytes(b"no parquet")
    volume = resolve(own.volumes_dir("u2os_chromatin") / "xz")
    assert volume is not None
    assert isinstance(volume.path, Path)
    (volume.path / "zarr.json").unlink()
    page = page_of(own)
    assert str(own.store) not in page
    assert "the store/metadata/epfl_hippocampus/claims.parquet: not a readable Parquet file" in page
    elsewhere = replace(own, store=own.store.rename(tmp_path / "moved"))
    assert page_of(elsewhere) == page
    assert catalogue_of({}, replace(own, origin=str(tmp_path / "mirror_7"))).origin == "mirror mirror_7"


def test_a_damaged_volume_hides_no_other(own: Settings) -> None:
    volume = resolve(own.volumes_dir("u2os_chromatin") / "xz")
    assert volume is not None
    assert isinstance(volume.path, Path)
    (volume.path / "zarr.json").unlink()
    page = page_of(own)
    assert "lacks zarr.json: it was removed or damaged" in card_of(page, "u2os_chromatin/xz")
    assert page.count("<img ") == 5


def test_chunks_that_are_gone_leave_a_card_without_a_picture(own: Settings) -> None:
    volume = resolve(own.volumes_dir("epfl_hippocampus") / "em")
    assert volume is not None
    assert isinstance(volume.path, Path)
    shutil.rmtree(volume.path / "s0" / "c")
    card = card_of(page_of(own), "epfl_hippocampus/em")
    assert "No picture" in card
    assert "in the ledger and not there" in card
    assert "2 of 7 checks found something" in card


@pytest.mark.parametrize("table", ["record", "claims", "fields", "conflicts", "original_tags"])
def test_a_table_that_cannot_be_read_costs_its_dataset_the_card_and_nothing_else(own: Settings, table: str) -> None:
    (own.metadata_dir("epfl_hippocampus") / f"{table}.parquet").write_bytes(b"no parquet")
    (own.metadata_dir("cryoet_10001") / "record.parquet").unlink()
    shown = write_page(datasets.load(own), own).catalogue
    assert {card.dataset for card in shown.cards} == {"empiar_11759", "u2os_chromatin"}
    notes = {one.name: one.note for one in shown.described_later}
    assert "not a readable Parquet file" in notes["epfl_hippocampus"]
    assert notes["cryoet_10001"] == "no record yet: em-assets fetch cryoet_10001"
    assert (shown.n_datasets, shown.n_files) == (2, sum(len(files) for files in _manifests(own, shown)))


def test_a_table_that_says_what_cannot_be_costs_no_more(own: Settings) -> None:
    _edit(own.metadata_dir("epfl_hippocampus"), FIELDS, lambda row: not row["is_unknown"], value="no JSON")
    shown = write_page(datasets.load(own), own).catalogue
    assert {card.dataset for card in shown.cards} == set(SHOWN) - {"epfl_hippocampus"}


def test_a_conflict_about_the_whole_dataset_is_counted_once(own: Settings, written: Written) -> None:
    """u2os_chromatin has two volumes; on the card of each it stands."""
    like = read_table(own.metadata_dir("empiar_11759") / "conflicts.parquet", CONFLICTS).to_pylist()[0]
    path = own.metadata_dir("u2os_chromatin") / "conflicts.parquet"
    of_all = like | {"dataset": "u2os_chromatin", "volume": None, "field": "technique", "unit": None}
    rows = [*read_table(path, CONFLICTS).to_pylist(), of_all | {"is_settled": False}]
    write_table(pa.Table.from_pylist(rows, schema=CONFLICTS.arrow), path, CONFLICTS)
    page = write_page(datasets.load(own), own)
    assert page.catalogue.n_conflicts == written.catalogue.n_conflicts + 1
    assert page.catalogue.n_unsettled == written.catalogue.n_unsettled + 1
    for volume in ("xy", "xz"):
        assert "whole dataset" in card_of(page.path.read_text(), f"u2os_chromatin/{volume}")


def test_of_a_volume_of_very_many_files_none_but_metadata_is_looked_at(own: Settings) -> None:
    volume = resolve(own.volumes_dir("epfl_hippocampus") / "em")
    assert volume is not None
    assert isinstance(volume.path, Path)
    shutil.rmtree(volume.path / "s0" / "c")
    record = records_of_table(read_table(own.metadata_dir("epfl_hippocampus") / "record.parquet", RECORD))[0]
    large = replace(volume, commit=volume.commit.model_copy(update={"n_files": MOST_FILES + 1}))
    seen, unseen = (next(iter(checks_of_volume("em", one, record, own))) for one in (volume, large))
    assert not seen.is_passed
    assert unseen.is_passed
    assert "its 100,001 files were not looked at for this page" in unseen.promise


@pytest.mark.parametrize(
    ("url", "said"), [("run_7/", "files of this machine"), ("https://example.org/run_7/", "public archive")]
)
def test_a_facilitys_own_files_are_of_no_archive(tmp_path: Path, url: str, said: str) -> None:
    """A card of unpublished files had the badge `public archive`."""
    (tmp_path / "run_7.toml").write_text(f'title = "Run 7"\n[source]\nurl = "{url}"\n')
    dataset = datasets.load(Settings(store=tmp_path / "store", datasets=tmp_path))["run_7"]
    assert origin_of(dataset, "public") == said
    assert origin_of(dataset, "sample") == "sample: made-up pixels"


def test_an_empty_store_says_what_to_do_and_is_bound_to_no_origin(tmp_path: Path) -> None:
    settings = Settings(store=tmp_path / "store")
    page = page_of(settings)
    first = sorted(name for name, dataset in datasets.load(settings).items() if dataset.is_served_by("public"))[0]
    assert "Nothing is held yet" in page
    assert f"em-assets fetch {first}" in page
    assert sorted(path.name for path in settings.store.iterdir()) == [".turns", "catalog"]


def test_a_store_is_not_shown_under_another_origin(held: Settings) -> None:
    with pytest.raises(OriginMismatchError, match="filled from the origin 'sample'"):
        write_page(datasets.load(held), replace(held, origin="public"))


def test_a_page_of_thousands_of_volumes_has_a_bound() -> None:
    assert picture_bytes(1) == picture_bytes(250) == 64_000
    for count in (1000, 3000):
        assert count * len(base64.b64encode(bytes(picture_bytes(count)))) <= PICTURES_BYTES


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "s3://bucket/key",
        "https:///no-host",
        "https://a.org/\x00",
        "file:///etc",
    ],
)
def test_only_addresses_of_the_web_become_links(address: str) -> None:
    assert link(address) is None
    assert link("https://a.org/b?c=1&d=2") == "https://a.org/b?c=1&d=2"


def test_only_what_looks_like_one_is_resolved_as_a_doi() -> None:
    assert doi_link("10.6019/EMPIAR-11759") == "https://doi.org/10.6019/EMPIAR-11759"
    assert doi_link('10.1000/"><script>') == "https://doi.org/10.1000/%22%3E%3Cscript%3E"
    assert doi_link("javascript:alert(1)") is None


def test_controls_are_shown_as_such_and_long_texts_cut() -> None:
    assert shown("exe.\u202egnp\x07") == "exe.\ufffdgnp\ufffd"
    assert shown("x" * 10_000).endswith(" … (10,000 characters)")


def test_the_policy_names_the_page_s_own_style_and_script_alone(written: Written) -> None:
    page = page_html(written.catalogue)
    policy = unescape(re.findall(r'Content-Security-Policy" content="([^"]+)"', page)[0])
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    assert re.search(r"\son\w+=|\sstyle=", re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)) is None


def test_the_command_writes_prints_and_opens_it(own: Settings, tmp_path: Path) -> None:
    """A browser, as far as Python's `webbrowser` cares, is a program that takes an address."""
    opened, program = tmp_path / "opened", tmp_path / "browser"
    program.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    program.chmod(0o755)
    environment = os.environ | {
        "EM_ASSETS_STORE": str(own.store),
        "EM_ASSETS_ORIGIN": "sample",
        "BROWSER": f"{program} %s",
    }
    done = subprocess.run(
        [Path(sys.executable).with_name("em-assets"), "catalog", "--open", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    said = json.loads(done.stdout)
    page = own.catalog_dir / "index.html"
    assert said == {
        "page": str(page),
        "url": page.as_uri(),
        "size_bytes": page.stat().st_size,
        "datasets": 4,
        "volumes": 6,
        "without_picture": 0,
        "is_opened": True,
    }
    assert opened.read_text().strip() == page.as_uri()
    assert done.stderr == ""


def test_the_command_prints_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EM_ASSETS_STORE", str(tmp_path / "store"))
    done = CliRunner().invoke(main, ["catalog"])
    assert (done.exit_code, done.output.strip()) == (0, str(tmp_path / "store" / "catalog" / "index.html"))


def test_a_store_that_cannot_be_written_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody makes a folder in /proc, not even root, for whom no permission holds."""
    monkeypatch.setenv("EM_ASSETS_STORE", "/proc/store")
    done = CliRunner().invoke(main, ["catalog"])
    assert done.exit_code == 2
    assert re.match(r"em-assets: /proc/store\S*: cannot be written \(No such file or directory\)", done.stderr)


def test_in_a_bucket_the_page_lies_beside_the_tables(
    s3_environment: dict[str, str], new_bucket: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that is sent takes nothing away that others sent there."""
    from em_assets import settings

    monkeypatch.setenv("EM_ASSETS_STORE", f"{new_bucket()}/store")
    monkeypatch.setenv("EM_ASSETS_CACHE", str(tmp_path / "cache"))
    known = settings.load()
    assert known.remote is not None
    (known.remote / "catalog" / "volumes.parquet").create(b"a table of somebody else's")
    page = write_page(datasets.load(known), known)
    assert page.address == f"{known.remote}/catalog/index.html"
    assert (known.remote / "catalog" / "index.html").read_bytes() == page.path.read_bytes()
    assert (known.remote / "catalog" / "volumes.parquet").read_bytes() == b"a table of somebody else's"


def _manifests(settings: Settings, shown: Catalogue) -> list[tuple[RawFile, ...]]:
    return [read_manifest(settings.raw_dir(name)) or () for name in {card.dataset for card in shown.cards}]


def _edit(folder: Path, schema: Any, where: Callable[[dict[str, Any]], bool], **values: Any) -> None:
    """Change the rows of a table that are meant."""
    path = folder / f"{schema.name}.parquet"
    rows = [row | values if where(row) else row for row in read_table(path, schema).to_pylist()]
    write_table(pa.Table.from_pylist(rows, schema=schema.arrow), path, schema)
