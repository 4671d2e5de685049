"""What the pages of assets and checks show: a picture, counts, links; and what to do where a check fails."""

import base64
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from em_assets.definitions import build_defs
from em_assets.defs import pictures
from em_assets.defs.checks import TO_DO
from em_assets.settings import Settings

NAME = "hemibrain_ng"
PICTURE = re.compile(r"!\[[a-z]+\]\(data:image/(?:png|webp);base64,([A-Za-z0-9+/=]+)\)")
MADE = ["raw_files", "original_tags", "claims", "record", "volume", "block_index", "raw_bytes", "export"]
MOST_BYTES = 100_000

Shown = dict[str, dg.MetadataValue]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, with_sources: Callable[[Path], Path]) -> Iterator[dict[str, Shown]]:
    """The metadata of the last event of each asset that has partitions, of a dataset that was exported too."""
    settings = Settings(store=with_sources(tmp_path_factory.mktemp("store")), origin="sample")
    defs = build_defs(settings)
    config = {"ops": {"export": {"config": {"layout": "cryoet"}}}, "loggers": {"progress": {}}}
    with dg.DagsterInstance.ephemeral() as instance:
        for job, run_config in (("observe_sources", None), ("build_dataset", None), ("__ASSET_JOB", config)):
            selection = [dg.AssetKey("export")] if run_config else None
            done = defs.resolve_job_def(job).execute_in_process(
                partition_key=NAME, instance=instance, run_config=run_config, asset_selection=selection
            )
            assert done.success
        yield {name: _last(instance, name) for name in ["source", *MADE]}


def _last(instance: dg.DagsterInstance, name: str) -> Shown:
    fetch = instance.fetch_observations if name == "source" else instance.fetch_materializations
    (record,) = fetch(dg.AssetRecordsFilter(dg.AssetKey(name), asset_partitions=[NAME]), limit=1).records
    event = record.event_log_entry.dagster_event
    assert event is not None
    said = event.asset_observation_data.asset_observation if name == "source" else record.asset_materialization
    assert said is not None
    return dict(said.metadata)


def pictures_of(shown: Shown) -> dict[str, bytes]:
    texts = {key: value.value for key, value in shown.items() if isinstance(value, dg.MarkdownMetadataValue)}
    found = {key: PICTURE.fullmatch(str(text)) for key, text in texts.items()}
    return {key: base64.b64decode(match[1]) for key, match in found.items() if match}


def partitioned() -> set[str]:
    nodes = build_defs().resolve_asset_graph().asset_nodes
    return {node.key.to_user_string() for node in nodes if node.is_partitioned}


def test_every_partitioned_asset_is_looked_at_here() -> None:
    assert partitioned() == {"source", *MADE}


@pytest.mark.parametrize("name", ["source", *MADE])
def test_every_partition_shows_a_picture_counts_and_links(pages: dict[str, Shown], name: str) -> None:
    shown = pages[name]
    drawn = pictures_of(shown)
    assert len(str(shown["at_a_glance"].value)) < 1000  # what the UI shows without a click
    assert len(drawn) > 1
    for png in drawn.values():
        assert len(png) < MOST_BYTES
        assert np.asarray(Image.open(BytesIO(png)).convert("L")).std() > 5  # something is in it
    assert any(isinstance(value, dg.IntMetadataValue) and (value.value or 0) > 0 for value in shown.values())
    assert shown["archive"] == dg.MetadataValue.url("https://doi.org/10.7554/eLife.57443")
    assert str(shown["catalog_page"].value).endswith("catalog/index.html")
    places = [str(value.value) for key, value in shown.items() if isinstance(value, dg.PathMetadataValue)]
    assert len(places) > 1 or name in ("source", "raw_bytes", "export")  # where in the store it lies


def test_mean_and_deviation_are_shown_in_four_figures(pages: dict[str, Shown]) -> None:
    heading, _, *rows = str(pages["block_index"]["volumes"].value).splitlines()
    names = [name.strip() for name in heading.strip("|").split("|")]
    shown = [dict(zip(names, [cell.strip() for cell in row.strip("|").split("|")], strict=True)) for row in rows]
    assert shown
    assert [row[name] for row in shown for name in ("mean", "std") if len(row[name].replace(".", "")) > 4] == []


def test_what_is_not_written_yet_is_drawn_from_its_raw_files(pages: dict[str, Shown]) -> None:
    raw, volume = (Image.open(BytesIO(pictures_of(pages[name])["preview_em"])) for name in ("raw_files", "volume"))
    assert raw.size[0] == 256  # one slice; the volume has three planes
    assert raw.size != volume.size


def test_every_asset_says_what_it_is_whose_it_is_and_of_which_kind() -> None:
    for node in build_defs().resolve_asset_graph().asset_nodes:
        assert node.description
        assert node.owners == ["team:em_assets"]
        assert len(node.kinds) == 1
        assert node.group_name in ("acquisition", "metadata", "volumes", "exports", "catalog")


def test_groups_follow_each_other_from_left_to_right() -> None:
    """No group leads back into one that feeds it, so that the graph can be drawn in columns."""
    graph = build_defs().resolve_asset_graph()
    groups = {node.key: node.group_name for node in graph.asset_nodes}
    edges = {(groups[up], groups[node.key]) for node in graph.asset_nodes for up in node.parent_keys}
    order = ["acquisition", "metadata", "volumes", "exports", "catalog"]
    assert [(before, after) for before, after in edges if order.index(before) > order.index(after)] == []


def test_every_check_says_what_to_do_on_its_page() -> None:
    graph = build_defs().resolve_asset_graph()
    described = {key.name: graph.get_check_spec(key).description or "" for key in graph.asset_check_keys}
    assert set(described) == set(TO_DO)
    assert [name for name, text in described.items() if TO_DO[name] not in text or "If it fails" not in text] == []


def test_a_result_that_fails_says_what_to_do(tmp_path: Path, with_sources: Callable[[Path], Path]) -> None:
    """Nobody said the licence of this dataset."""
    defs = build_defs(Settings(store=with_sources(tmp_path), origin="sample"))
    with dg.DagsterInstance.ephemeral() as instance:
        done = defs.resolve_job_def("build_dataset").execute_in_process(partition_key=NAME, instance=instance)
    (licence,) = [one for one in done.get_asset_check_evaluations() if one.check_name == "licence_known"]
    assert not licence.passed
    assert licence.metadata["what_to_do"].value == TO_DO["licence_known"]
    (whole,) = [one for one in done.get_asset_check_evaluations() if one.check_name == "raw_files_complete"]
    assert "what_to_do" not in whole.metadata


def test_a_glance_keeps_to_its_bytes_whatever_the_picture() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (256, 256), np.uint8)
    buffer = BytesIO()
    Image.fromarray(noise).save(buffer, format="PNG")
    assert len(pictures.glance(buffer.getvalue())) <= pictures.MOST_GLANCE_BYTES


def colours(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(png)).convert("RGB"))


def test_bars_are_as_long_as_their_counts_and_small_ones_come_together() -> None:
    drawn = colours(pictures.bars({"a": 100, "b": 50}))
    is_bar = (drawn == pictures.BAR).all(axis=-1).sum(axis=1)
    assert sorted({int(length) for length in is_bar if length})[-1] == pytest.approx(2 * min(is_bar[is_bar > 0]), abs=3)
    many = colours(pictures.bars({f"kind {number}": number for number in range(50)}))
    assert len(many) == 2 * pictures.MARGIN + pictures.ROW * pictures.MOST_BARS
    assert len(colours(pictures.bars({}))) == 2 * pictures.MARGIN + pictures.ROW


def test_a_name_that_is_too_long_keeps_its_end() -> None:
    names = {f"a/very/long/path/that/goes/on/and/on/and/on/{number}.tif": 1 for number in range(2)}
    first, second = (colours(pictures.bars({name: 1})) for name in names)
    assert (first != second).any()


def test_a_map_of_chunks_is_dark_where_they_show_nothing() -> None:
    """Two columns of chunks from above; of the right one nothing varies, or nothing is known."""
    index = pa.table({"z": [0, 1, 0], "y": [0, 0, 0], "x": [0, 0, 1], "mean": [9.0, 9.0, None], "std": [3.0, 3.0, 0.0]})
    drawn = colours(pictures.of_chunks(index))
    middle = drawn[pictures.ROW + 20 :]
    width = (drawn.shape[1] - pictures.MARGIN) // 2
    assert middle[0, 5].sum() > 300
    assert middle[0, width - 5].sum() == 0
    assert middle[0, -5].sum() == 0
