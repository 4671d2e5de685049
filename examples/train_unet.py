"""A small 3-D U-Net that learns where cells touch, in a minute on a CPU, and writes what it sees as OME-Zarr.

    EM_ASSETS_ORIGIN=sample python examples/train_unet.py                       # made-up EM and the labels that made it
    python examples/train_unet.py --data ../shared/data/em_fib25                # FIB-SEM of a fly's medulla, proofread
    python examples/train_unet.py --dataset epfl_mitochondria                   # one volume to train on, one to test on
    python examples/train_unet.py --dataset mine --em em --labels labels        # any dataset with two such volumes

Volumes and their labels are found by the dataset's file, where labels name what they label. One pair is cut into a part
for training and one for validation, with a gap between them; of several the first is trained on, and the others are for
validation. Blocks come from `BlockStream`, normalised by the catalog's statistics. The prediction, of the volume that
validates, is blended from blocks that overlap.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import fib25
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from em_assets import datasets, settings
from em_assets.blocks import VolumeDataset, create_like, open_volume, sampling, spatial_split
from em_assets.blocks.torch import BlockDataset, BlockStream, Source, make_loader
from em_assets.errors import NotBuiltError

BLOCK_ZYX = (16, 48, 48)
OVERLAP_ZYX = (4, 12, 12)
GAP_NM = 100.0
BATCH = 4
N_VALIDATION = 16


class UNet(nn.Module):
    """Two steps down and two up; z is halved once, so that thin blocks keep a few planes."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.fine, self.middle = _convolutions(1, width), _convolutions(width, 2 * width)
        self.coarse = _convolutions(2 * width, 4 * width)
        self.middle_up, self.fine_up = _convolutions(6 * width, 2 * width), _convolutions(3 * width, width)
        self.last = nn.Conv3d(width, 1, 1)

    def forward(self, raw: Tensor) -> Tensor:
        """(batch, z, y, x) → as many logits."""
        fine = self.fine(raw[:, None])
        middle = self.middle(functional.max_pool3d(fine, (1, 2, 2)))
        coarse = self.coarse(functional.max_pool3d(middle, 2))
        middle = self.middle_up(torch.cat([middle, functional.interpolate(coarse, scale_factor=(2, 2, 2))], 1))
        fine = self.fine_up(torch.cat([fine, functional.interpolate(middle, scale_factor=(1, 2, 2))], 1))
        logits: Tensor = self.last(fine)[:, 0]
        return logits


def _convolutions(n_in: int, n_out: int) -> nn.Sequential:
    pairs = [(nn.Conv3d(a, n_out, 3, padding=1), nn.GroupNorm(4, n_out), nn.ReLU()) for a in (n_in, n_out)]
    return nn.Sequential(*(layer for pair in pairs for layer in pair))


def touching(labels: Tensor) -> Tensor:
    """1 where a voxel of (batch, z, y, x) has a neighbour of another name, else 0: what the network learns."""
    found = torch.zeros_like(labels, dtype=torch.bool)
    for axis in (1, 2, 3):
        n = labels.shape[axis] - 1
        differs = labels.narrow(axis, 0, n) != labels.narrow(axis, 1, n)
        found.narrow(axis, 0, n).logical_or_(differs)
        found.narrow(axis, 1, n).logical_or_(differs)
    return found.float()


def loss_of(model: UNet, batch: dict[str, Any]) -> Tensor:
    """Binary cross entropy, walls weighted up since they are few."""
    return functional.binary_cross_entropy_with_logits(
        model(batch["raw"]), touching(batch["labels"]), pos_weight=torch.tensor(4.0)
    )


def batches(blocks: BlockStream) -> Iterator[dict[str, Any]]:
    """Epoch after epoch, without an end."""
    loader, epoch = make_loader(blocks), 0
    while True:
        blocks.set_epoch(epoch)
        yield from loader
        epoch += 1


def validate(model: UNet, blocks: BlockDataset) -> float:
    """Mean loss over the blocks that training never comes near."""
    with torch.no_grad():
        losses = [loss_of(model, batch) for batch in make_loader(blocks, BATCH)]
    return float(torch.stack(losses).mean())


def train(model: UNet, train_blocks: BlockStream, validation_blocks: BlockDataset, seconds: float) -> list[float]:
    """Train for a while; the validation loss before, every fifth of the time, and after."""
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    losses, began = [validate(model, validation_blocks)], monotonic()
    print(f"before: validation loss {losses[0]:.3f}")
    for step, batch in enumerate(batches(train_blocks), start=1):
        optimiser.zero_grad()
        loss_of(model, batch).backward()
        optimiser.step()
        passed = monotonic() - began
        if passed > seconds * len(losses) / 5:
            losses.append(validate(model, validation_blocks))
            print(f"after {passed:3.0f} s, {step} batches: validation loss {losses[-1]:.3f}")
        if passed > seconds:
            return losses
    raise AssertionError("batches do not end")


def predict(model: UNet, em: VolumeDataset, path: Path) -> Path:
    """How likely each voxel lies where cells touch, as an OME-Zarr of bytes beside the EM's own voxels."""
    assert em.statistics is not None, "blocks were normalised by them"
    mean, std = em.statistics.mean or 0.0, em.statistics.std or 1.0
    blocks = sampling.grid(em.shape, BLOCK_ZYX, OVERLAP_ZYX)
    with create_like(em, path, np.uint8, overlap_zyx=OVERLAP_ZYX) as prediction, torch.no_grad():
        for index in range(len(blocks)):
            start, shape = blocks.box(0, index)
            raw = (em.read(start, shape).astype(np.float32) - np.float32(mean)) / np.float32(std)
            likely = torch.sigmoid(model(torch.from_numpy(raw)[None]))[0]
            prediction.write_block(start, np.rint(likely.numpy() * 255))
    return path


def pairs_of(dataset: str) -> list[tuple[str, str]]:
    """Names of its volumes that have labels, and of their first labels, in the order of the dataset's file."""
    found: dict[str, str] = {}
    for source in datasets.get(dataset, settings.load()).sources:
        for one in source.parts or (source,):
            if one.labels_of is not None:
                found.setdefault(one.labels_of, one.volume or "labels")
    return list(found.items())


def opened(dataset: str, pairs: list[tuple[str, str]]) -> list[tuple[VolumeDataset, VolumeDataset]]:
    """Both volumes of each pair; the dataset is fetched where it is not yet."""
    try:
        return [(open_volume(dataset, volume=em), open_volume(dataset, volume=labels)) for em, labels in pairs]
    except NotBuiltError:
        command = "from em_assets.cli import main; main()"  # `em-assets`, wherever it is installed
        subprocess.run([sys.executable, "-c", command, "fetch", dataset], check=True)
        return [(open_volume(dataset, volume=em), open_volume(dataset, volume=labels)) for em, labels in pairs]


def parts_of(
    pairs: list[tuple[VolumeDataset, VolumeDataset]], seed: int, split_path: Path
) -> tuple[list[Source], list[Source]]:
    """What is trained on and what validates: two parts of the only pair, or the first pair and the others."""
    if len(pairs) > 1:
        first, *others = (Source(em, labels) for em, labels in pairs)
        return [first], others
    ((em, labels),) = pairs
    split = spatial_split(em, {"train": 0.7, "validation": 0.3}, gap_nm=GAP_NM, seed=seed)
    split.save(split_path)
    parts = {name: Source(em, labels, within=regions) for name, regions in split.regions.items()}
    return [parts["train"]], [parts["validation"]]


def main() -> None:
    """Train, predict, say where it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="em_labels_sample")
    parser.add_argument("--data", type=Path, help="the folder em_fib25, which becomes a dataset in a store of its own")
    parser.add_argument("--em", help="name of the volume of EM; with --labels, in the place of those that are found")
    parser.add_argument("--labels", help="name of the volume of labels")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("prediction.ome.zarr"))
    given = parser.parse_args()
    if bool(given.em) != bool(given.labels):
        parser.error("--em and --labels belong together: name both, or neither")
    torch.manual_seed(given.seed)
    if given.data:
        folder = given.out.absolute().with_name("fib25")
        fib25.write_dataset(given.data, folder)
        os.environ |= {"EM_ASSETS_STORE": str(folder / "store"), "EM_ASSETS_DATASETS": str(folder)}
        given.dataset = fib25.NAME
    names = [(given.em, given.labels)] if given.em and given.labels else pairs_of(given.dataset)
    if not names:
        parser.error(f"{given.dataset}: no volume of it is another one's labels; name them by --em and --labels")
    pairs = opened(given.dataset, names)
    to_train, to_validate = parts_of(pairs, given.seed, given.out.with_suffix(".split.json"))
    train_blocks = BlockStream(to_train, BLOCK_ZYX, 400, given.seed, batch_size=BATCH)
    validation_blocks = BlockDataset(to_validate, BLOCK_ZYX, N_VALIDATION, given.seed)
    model, em = UNet(), pairs[-1][0]
    losses = train(model, train_blocks, validation_blocks, given.seconds)
    path = predict(model, em, given.out)
    print(f"loss {losses[0]:.3f} → {losses[-1]:.3f}; {path}, beside {em.url}")


if __name__ == "__main__":
    main()
