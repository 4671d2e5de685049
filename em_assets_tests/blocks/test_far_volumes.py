"""Volumes behind a URL and in a bucket: losses are errors, what may pass is asked again, what was read is kept."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folder_server import FolderServer, serving
from numpy.typing import NDArray

from em_assets.blocks import VolumeDataset, open_volume
from em_assets.errors import SourceUnreachableError, StoreError
from em_assets.formats import tensorstores
from em_assets.formats.bucket_trees import BucketTree
from em_assets.formats.volume import SourceLevel, SourceVolume
from em_assets.remote.path import remote_path
from em_assets.settings import BlockCache, Settings, load
from em_assets.volumes.addressed import OF_NO_COMMIT, last_number
from em_assets.volumes.folders import Folder
from em_assets.volumes.pyramid import write_pyramid
from em_assets.volumes.store import CommittedVolume, commit_volume

SHAPE_ZYX = (70, 80, 150)
VOXELS = np.random.default_rng(2).integers(1, 4000, SHAPE_ZYX, dtype=np.uint16)
BOX = ((3, 10, 60), (60, 64, 80))
CUT = VOXELS[3:63, 10:74, 60:140]

Store = Callable[..., CommittedVolume]


def commit(folder: Folder, generation: str, ome_zarr: Any = "0.5") -> CommittedVolume:
    def read(start: Any, shape: Any) -> NDArray[Any]:
        return VOXELS[tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))]

    source = SourceVolume("em", "tiff", VOXELS.dtype, (SourceLevel(SHAPE_ZYX, (8.0, 8.0, 8.0), read),), ())
    said: dict[str, Any] = {"content": "em", "voxel_size_zyx_nm": (8.0, 8.0, 8.0), "name": "em", "attributes": {}}
    return commit_volume(folder, generation, lambda dest: write_pyramid(source, dest, ome_zarr=ome_zarr, **said))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FolderServer]:
    with serving(tmp_path) as server:
        yield server


@pytest.fixture
def cached(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings with a cache of blocks."""
    folder = tmp_path_factory.mktemp("cache")
    return Settings(store=folder / "store", block_cache=BlockCache(folder / "blocks", 1 << 26))


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Short pauses, and nothing in memory that was read before."""
    tensorstores._context.cache_clear()
    monkeypatch.setattr(tensorstores, "CACHE_BYTES", 0)
    monkeypatch.setattr(tensorstores, "PAUSES", {"initial_delay": "20ms", "max_delay": "20ms"})
    yield
    tensorstores._context.cache_clear()


def chunk(made: CommittedVolume) -> str:
    return next(key for key, _, _ in made.ledger() if key.startswith("s0/") and key[-1].isdigit())


class TestBehindAUrl:
    @pytest.mark.parametrize("ome_zarr", ["0.5", "0.4"])
    def test_the_last_commit_is_found_and_read(self, tmp_path: Path, server: FolderServer, ome_zarr: str) -> None:
        for generation in ("aaaa", "bbbb", "cccc"):
            made = commit(tmp_path / "em", generation, ome_zarr)
        volume = open_volume(f"{server.url}/em/")
        assert (volume.generation, volume.name, volume.url) == ("cccc", "em", f"{server.url}/em/cccc")
        assert volume.statistics == made.commit.statistics
        assert volume.block_index().equals(made.block_index())
        assert np.array_equal(volume.read(*BOX), CUT)
        assert np.array_equal(pickle.loads(pickle.dumps(volume)).read(*BOX), CUT)

    @pytest.mark.parametrize("name", ["em", "em/aaaa", "em/latest"])
    def test_a_chunk_of_the_ledger_that_is_gone_is_an_error_and_never_zeros(
        self, tmp_path: Path, server: FolderServer, cached: Settings, name: str
    ) -> None:
        made = commit(tmp_path / "em", "aaaa", "0.4")
        (tmp_path / "em/aaaa" / chunk(made)).unlink()
        for volume in (
            open_volume(f"{server.url}/{name}"),
            open_volume(f"{server.url}/{name}", settings=cached),
            open_volume(tmp_path / name),
        ):
            with pytest.raises(StoreError, match=f"{chunk(made)}: in the ledger and not there"):
                volume.read((0, 0, 0), (64, 64, 64))

    def test_a_generation_keeps_its_bytes_whatever_is_committed_later(
        self, tmp_path: Path, server: FolderServer
    ) -> None:
        for generation in ("aaaa", "bbbb"):
            commit(tmp_path / "em", generation)
        volume = open_volume(f"{server.url}/em/aaaa")
        assert volume.committed is not None
        assert (volume.generation, volume.committed.commit.number) == ("aaaa", OF_NO_COMMIT)
        assert open_volume(f"{server.url}/em/latest").generation == "bbbb"

    def test_a_password_in_the_address_is_shown_nowhere(self, tmp_path: Path, server: FolderServer) -> None:
        made = commit(tmp_path / "em", "aaaa", "0.4")
        (tmp_path / "em/aaaa" / chunk(made)).unlink()
        volume = open_volume(f"{server.url.replace('//', '//me:a-secret@')}/em")
        with pytest.raises(StoreError, match="in the ledger and not there") as raised:
            volume.read((0, 0, 0), (1, 1, 1))
        assert "a-secret" not in f"{volume!r} {volume.url} {raised.value}"

    @pytest.mark.parametrize("last", [*range(9), 100])
    def test_the_last_of_many_commits_takes_few_questions(self, last: int) -> None:
        asked: list[int] = []
        assert last_number(lambda number: not asked.append(number) and number <= last) == last
        assert len(asked) <= 14


class TestRetries:
    @pytest.mark.parametrize("fault", ["500", "503", "429", "closes", "breaks off"])
    def test_what_may_pass_is_asked_again(self, tmp_path: Path, server: FolderServer, fault: str) -> None:
        made = commit(tmp_path / "em", "aaaa", "0.4")
        volume = open_volume(f"{server.url}/em")
        volume.read((0, 0, 0), (1, 1, 1))  # now the ledger is known, and chunks alone are asked for
        server.fail(fault, times=1)
        assert np.array_equal(volume.read((0, 0, 0), (1, 64, 64)), VOXELS[:1, :64, :64])
        assert server.asked[f"/em/aaaa/{chunk(made)}"] == 2

    @pytest.mark.parametrize("fault", ["500", "503", "breaks off"])
    def test_a_bucket_is_asked_again_too(self, tmp_path: Path, server: FolderServer, fault: str) -> None:
        made = commit(tmp_path / "bucket/em", "aaaa", "0.4")
        place = remote_path("s3://bucket/em/aaaa", {"AWS_ENDPOINT_URL": server.url})
        tree = BucketTree(str(place), is_local=False, place=place)
        kvstore = {**tree.kvstore("s0"), "aws_credentials": {"type": "anonymous"}}
        array = tensorstores.open_tensorstore("em", {"driver": "zarr", "kvstore": kvstore})
        server.fail(fault, times=1)
        found = tensorstores.read_tensorstore("em", array[:1, :2, :3])
        assert np.array_equal(found, VOXELS[:1, :2, :3])
        assert server.asked[f"/bucket/em/aaaa/{chunk(made)}"] == 2

    def test_an_answer_that_stalls_is_asked_for_again(self, tmp_path: Path, server: FolderServer) -> None:
        """In a process of its own: tensorstore learns once how long to wait."""
        made = commit(tmp_path / "em", "aaaa", "0.4")
        server.fail("stalls", times=1)
        server.only = f"/em/aaaa/{chunk(made)}"
        code = "import sys, em_assets; print(em_assets.open_volume(sys.argv[1]).read((0, 0, 0), (1, 1, 2)).tolist())"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TENSORSTORE_")}
        done = subprocess.run(
            [sys.executable, "-c", code, f"{server.url}/em"],
            env=environment | {"EM_ASSETS_STALL_S": "1"},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        assert done.stdout.strip() == str(VOXELS[:1, :1, :2].tolist())
        assert server.asked[server.only] == 2

    def test_a_server_that_never_answers_is_said_after_as_many_tries_as_transfers_make(
        self, tmp_path: Path, server: FolderServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tensorstores, "TRIES", 3)
        made = commit(tmp_path / "em", "aaaa", "0.4")
        volume = open_volume(f"{server.url}/em")
        volume.read((0, 0, 64), (1, 1, 1))
        server.fail("503", times=99)
        with pytest.raises(SourceUnreachableError, match="no answer"):
            volume.read((0, 0, 0), (1, 1, 1))
        assert server.asked[f"/em/aaaa/{chunk(made)}"] == 3


class TestCache:
    def opened(self, kind: str, tmp_path: Path, server: FolderServer, cached: Settings) -> VolumeDataset:
        if kind == "committed":
            commit(tmp_path / "em", "aaaa", "0.5")
        elif kind == "ome_zarr":
            commit(tmp_path / "em", "aaaa", "0.4").path.rename(tmp_path / "plain.zarr")
        else:
            precomputed(tmp_path / "segmentation")
        name = {"committed": "em", "ome_zarr": "plain.zarr", "precomputed": "segmentation"}[kind]
        return open_volume(f"{server.url}/{name}", settings=cached)

    @pytest.mark.parametrize("kind", ["committed", "ome_zarr", "precomputed"])
    def test_what_was_read_is_not_fetched_again(
        self, kind: str, tmp_path: Path, server: FolderServer, cached: Settings
    ) -> None:
        volume = self.opened(kind, tmp_path, server, cached)
        assert np.array_equal(volume.read(*BOX), CUT)
        server.asked.clear()
        again = pickle.loads(pickle.dumps(volume))
        boxes = [BOX, ((0, 64, 64), (1, 1, 1)), ((5, 20, 70), (40, 50, 60))]
        found = volume.read_many(boxes)
        buffer = np.zeros((2, 40, 50, 60), np.uint16)
        again.begin_many([boxes[2]] * 2, buffer)()
        assert np.array_equal(found[0], CUT)
        assert np.array_equal(buffer[1], VOXELS[5:45, 20:70, 70:130])
        assert not [path for path in server.asked if "." not in Path(path).name and Path(path).name != "info"]

    def test_a_box_of_kept_and_new_chunks_is_whole(
        self, tmp_path: Path, server: FolderServer, cached: Settings
    ) -> None:
        volume = self.opened("committed", tmp_path, server, cached)
        volume.read((0, 0, 0), (1, 1, 1))
        assert np.array_equal(volume[...], VOXELS)
        assert np.array_equal(volume[...], VOXELS)
        assert np.array_equal(volume.at_level(1)[...], open_volume(tmp_path / "em", level=1)[...])

    def test_a_cache_that_is_damaged_or_deleted_under_it_changes_nothing(
        self, tmp_path: Path, server: FolderServer, cached: Settings
    ) -> None:
        assert cached.block_cache is not None
        volume = self.opened("committed", tmp_path, server, cached)
        volume.read(*BOX)
        kept = [path for path in cached.block_cache.folder.rglob("*_*") if path.is_file()]
        assert len(kept) == 6
        for path, damage in zip(kept, (b"", b"?", b"x" * 5000, None, None, None), strict=True):
            path.unlink() if damage is None else path.write_bytes(damage)
        assert np.array_equal(volume.read(*BOX), CUT)

    def test_other_bytes_at_the_same_address_are_read(
        self, tmp_path: Path, server: FolderServer, cached: Settings
    ) -> None:
        import tensorstore

        before = self.opened("ome_zarr", tmp_path, server, cached)
        assert np.array_equal(before.read(*BOX), CUT)
        spec = {"driver": "zarr", "kvstore": {"driver": "file", "path": f"{tmp_path}/plain.zarr/s0/"}}
        tensorstore.open(spec).result().write(VOXELS + 1).result()
        (tmp_path / "plain.zarr/.zattrs").write_bytes((tmp_path / "plain.zarr/.zattrs").read_bytes() + b"\n")
        stamp = (tmp_path / "plain.zarr/.zattrs").stat().st_mtime_ns + 10**10
        os.utime(tmp_path / "plain.zarr/.zattrs", ns=(stamp, stamp))
        after = open_volume(f"{server.url}/plain.zarr", settings=cached)
        assert np.array_equal(after.read(*BOX), CUT + 1)

    def test_a_store_in_a_bucket_is_kept_too_and_a_lost_object_is_an_error(
        self,
        tmp_path: Path,
        s3_environment: dict[str, str],
        new_bucket: Callable[[], str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        said = {"EM_ASSETS_STORE": new_bucket(), "EM_ASSETS_CACHE": str(tmp_path), "EM_ASSETS_BLOCK_CACHE_GIB": "1"}
        settings = load(s3_environment | said | {"EM_ASSETS_ORIGIN": "sample"})
        made = commit(settings.volumes_dir("em_labels_sample") / "em", "aaaa", "0.4")
        volume = open_volume("em_labels_sample", settings=settings)
        assert np.array_equal(volume.read((0, 0, 0), (64, 64, 64)), VOXELS[:64, :64, :64])
        assert settings.remote is not None
        (settings.remote / "volumes/em_labels_sample/em/aaaa").remove(
            key for key, _, _ in made.ledger() if key.startswith("s0/") and key[-1].isdigit()
        )
        again = open_volume("em_labels_sample", settings=settings)
        assert np.array_equal(again.read((1, 2, 3), (63, 62, 61)), VOXELS[1:64, 2:64, 3:64])
        with pytest.raises(StoreError, match="in the ledger and not there"):
            again.read((0, 0, 0), (64, 64, 65))


def precomputed(folder: Path) -> None:
    import tensorstore

    scale = {"size": SHAPE_ZYX[::-1], "resolution": (8, 8, 8), "chunk_size": (64, 32, 16), "encoding": "raw"}
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "multiscale_metadata": {"type": "image", "data_type": "uint16", "num_channels": 1},
        "scale_metadata": scale,
    }
    tensorstore.open(spec, create=True).result()[..., 0].write(VOXELS.transpose(2, 1, 0)).result()
