"""The link to the archive's own copy: of public data that a browser can read, and of nothing else."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest
from tissue import TISSUE

from em_assets.datasets import Dataset
from em_assets.model import RawFile, Source
from em_assets.settings import PUBLIC, SAMPLE, Settings
from em_assets.sources.manifest import write_manifest
from em_assets.viewing import hosted_link, scene_of
from em_assets.viewing.public import HOSTED
from em_assets.volumes.store import CommittedVolume

ZARR = "s3://janelia-cosem-datasets/x/x.zarr/recon-1/em/fibsem"


def dataset(*sources: Source, format: str | None = None) -> Dataset:
    return Dataset(name="tissue", title="Tissue", format=format, sources=sources)


def hold(settings: Settings, *urls: str) -> None:
    """A manifest with these files, as a fetch of the first source writes it."""
    raw = settings.raw_dir("tissue")
    raw.mkdir(parents=True)
    files = [
        RawFile(path=url.split("://", 1)[1], url=url, size_bytes=1, sha256="0" * 64, validator=None, source=0)
        for url in urls
    ]
    write_manifest(raw, files, "f00d")


def state_in(link: str | None) -> dict[str, Any]:
    assert link is not None
    assert link.startswith(f"{HOSTED}#!")
    state: dict[str, Any] = json.loads(unquote(link.removeprefix(f"{HOSTED}#!")))
    return state


@pytest.fixture
def public(settings: Settings, commit: Callable[..., CommittedVolume]) -> Settings:
    """A store of the public origin with one volume."""
    commit("em", TISSUE[:5, :21, :41])
    return replace(settings, origin=PUBLIC)


def test_a_cut_out_is_shown_in_the_volume_that_it_was_cut_from(public: Settings) -> None:
    source = Source(kind="cutout", url="gs://flyem/em/jpeg", content="em", shape_zyx=(5, 21, 41))
    link = hosted_link(dataset(source, format="precomputed"), scene_of("tissue", None, public), public)
    state = state_in(link)
    assert [layer["source"]["url"] for layer in state["layers"]] == ["precomputed://gs://flyem/em/jpeg/"]
    assert state["position"] == [20.0, 10.0, 2.0]


def test_a_zarr_in_a_bucket_is_shown_from_its_root(public: Settings) -> None:
    hold(public, f"{ZARR}/.zattrs", f"{ZARR}/s0/.zarray", f"{ZARR}/s0/0/0/0", f"{ZARR}/s0/.zattrs")
    link = hosted_link(dataset(Source(url=f"{ZARR}/")), scene_of("tissue", None, public), public)
    assert state_in(link)["layers"][0]["source"]["url"] == f"zarr://{ZARR}/"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/stack.tif",
        "ftp://example.org/em.zarr/.zattrs",
        "http://example.org/em.zarr/.zattrs",
        "file:///data/em.zarr/.zattrs",
    ],
    ids=["a format that it cannot read", "a protocol that no browser speaks", "one that it refuses", "a disk"],
)
def test_what_no_browser_can_read_has_no_link(public: Settings, url: str) -> None:
    hold(public, url)
    assert hosted_link(dataset(Source(url=url)), scene_of("tissue", None, public), public) is None


def test_a_volume_in_voxels_has_no_link_since_the_archives_axes_may_be_others(
    settings: Settings, commit: Callable[..., CommittedVolume]
) -> None:
    commit("em", TISSUE[:5, :21, :41], voxel_size_zyx_nm=(None, 8.0, 8.0))
    public = replace(settings, origin=PUBLIC)
    hold(public, f"{ZARR}/.zattrs")
    scene = scene_of("tissue", None, public)
    assert hosted_link(dataset(Source(url=f"{ZARR}/")), scene, public) is None
    assert "without a link to the archive's own copy" in scene.remarks[0]


@pytest.mark.parametrize("origin", [SAMPLE, "/a/mirror"])
def test_what_is_not_public_has_no_link(public: Settings, origin: str) -> None:
    """A link to the archive beside made-up pixels would say that these are those."""
    hold(public, f"{ZARR}/.zattrs")
    other = replace(public, origin=origin)
    assert hosted_link(dataset(Source(url=f"{ZARR}/")), scene_of("tissue", None, other), other) is None
