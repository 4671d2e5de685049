"""A network is trained by the example as it stands, and ten thousand blocks leave memory as it was."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import tifffile

from em_assets.blocks import Split, VolumeDataset, open_volume
from em_assets.blocks.torch import BlockDataset, BlockStream, make_loader

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def endless(blocks: BlockDataset | BlockStream) -> Iterator[None]:
    epoch = 0
    while True:
        blocks.set_epoch(epoch)
        for _ in make_loader(blocks, batch_size=10):
            yield
        epoch += 1


@pytest.mark.parametrize("kind", [BlockDataset, BlockStream])
def test_memory_is_flat_over_ten_thousand_blocks(kind: type[BlockDataset | BlockStream], fine: VolumeDataset) -> None:
    options = {"batch_size": 10} if kind is BlockStream else {}
    batches = endless(kind([fine], (16, 32, 32), 500, **options))
    list(islice(batches, 100))
    before = resident_mb()
    assert len(list(islice(batches, 1000))) == 1000
    assert resident_mb() - before < 10


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder where the example was run for some seconds, and what it printed."""
    folder = tmp_path_factory.mktemp("example")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("EM_ASSETS_", "DAGSTER"))}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "train_unet.py"), "--seconds", "6", "--out", "seen.ome.zarr"],
        cwd=folder,
        env=kept | {"EM_ASSETS_ORIGIN": "sample", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder, done.stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize("given", ["--em", "--labels"])
def test_the_example_refuses_one_volume_of_a_pair(given: str, tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "train_unet.py"), given, "em"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "--em and --labels belong together" in done.stderr


def test_the_examples_loss_falls(trained: tuple[Path, str]) -> None:
    folder, said = trained
    losses = [float(number) for number in re.findall(r"validation loss ([\d.]+)", said)]
    assert len(losses) >= 3
    assert losses[-1] < 0.8 * losses[0]
    split = Split.load(folder / "seen.ome.split.json")
    assert (split.dataset, set(split.regions)) == ("em_labels_sample", {"train", "validation"})


@pytest.mark.timeout(300)
def test_the_examples_prediction_is_valid_ome_zarr_beside_its_em(trained: tuple[Path, str], shared: Path) -> None:
    tool = shared / "tools" / "validators" / "validate_ngff.py"
    group = trained[0] / "seen.ome.zarr"
    done = subprocess.run([sys.executable, str(tool), str(group)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    seen = open_volume(group)
    assert (seen.shape, seen.dtype, seen.voxel_size_zyx_nm) == ((64, 160, 176), np.uint8, (8, 8, 8))
    attributes = json.loads((group / "zarr.json").read_text())["attributes"]["em_assets"]
    assert "em_labels_sample/em" in attributes["predicted_from"]


@pytest.mark.timeout(300)
def test_the_example_trains_on_one_volume_and_tests_on_another(tmp_path: Path) -> None:
    """What nobody names is found by the dataset's file: two volumes with their ground truths."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("EM_ASSETS_", "DAGSTER"))}
    command = [sys.executable, str(EXAMPLES / "train_unet.py"), "--dataset", "epfl_mitochondria", "--seconds", "6"]
    done = subprocess.run(
        [*command, "--out", "seen.ome.zarr"],
        cwd=tmp_path,
        env=kept | {"EM_ASSETS_ORIGIN": "sample", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    losses = [float(number) for number in re.findall(r"validation loss ([\d.]+)", done.stdout)]
    assert losses[-1] < 0.8 * losses[0]
    attributes = json.loads((tmp_path / "seen.ome.zarr" / "zarr.json").read_text())["attributes"]["em_assets"]
    assert "epfl_mitochondria/testing" in attributes["predicted_from"]


def test_the_real_pictures_and_their_cells_belong_together(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Membranes are dark, so the picture is darker where two cells touch."""
    if not (shared / "data" / "em_fib25").is_dir():
        pytest.skip("needs ../shared/data/em_fib25")
    monkeypatch.syspath_prepend(EXAMPLES)
    import fib25

    fib25.write_dataset(shared / "data" / "em_fib25", tmp_path)
    em, cells = (tifffile.imread(tmp_path / f"{name}.tif") for name in ("em", "labels"))
    assert em.shape == cells.shape == (64, 250, 250)
    touches = cells[:, 1:] != cells[:, :-1]
    assert em[:, 1:][touches].mean() < em[:, 1:][~touches].mean() - 25
