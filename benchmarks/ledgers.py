"""Private memory that the ledger and the block index of a huge volume take, step by step, each in a process of its own.

    python benchmarks/ledgers.py 1000000 10000000

Entries are made up: keys as of chunks in files of their own, sizes, digests. A step's figure is the most that the
process held beyond what it held before (`RssAnon`, looked at every two milliseconds). Pages of a mapped file are not
private: the system takes them back when it needs them. Validating needs files: so many links to a few of them, and no
more than a million.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from em_assets.volumes.block_index import BlockIndex
from em_assets.volumes.folders import put
from em_assets.volumes.ledger import Entries, Entry, Ledger, digest_of
from em_assets.volumes.parquet import ParquetBytes

LOOK_S = 0.002
SIDE = 200
"""Chunks along y and x."""

LOOKED_UP = 1000
MOST_FILES = 1_000_000
LINKS_OF_ONE = 60_000
"""ext4 allows 65,000."""

CONTENT = b"voxels"
Step = Callable[[Path, int], None]


def entries(n: int) -> Iterator[Entry]:
    """Entries of made-up files, in the order in which a writer of several threads is done with them."""
    draw, digest = random.Random(1), digest_of(CONTENT)
    for start in range(0, n, 64):
        for at in draw.sample(range(start, min(start + 64, n)), min(64, n - start)):
            # A digest's bytes cannot be packed; to make them up is dearer than to turn one round.
            turned = f"{at * 0x9E3779B97F4A7C15 % 2**64:016x}{digest[16:]}"
            yield Entry(_key(at), 200_000 + at * 7919 % 90_000, turned)


def write_ledger(folder: Path, n: int) -> None:
    """What a writer does, and the commit after it."""
    found = Entries()
    for entry in entries(n):
        found += [entry]
    ledger = Ledger.of(found)
    assert ledger.size_bytes
    put(folder / "ledger.parquet", ledger.file.pieces())
    (folder / "ledger.blake3").write_text(ledger.file.blake3)


def look_up(folder: Path, n: int) -> None:
    """What a reader does with its first boxes."""
    ledger = _ledger(folder)
    keys = [_key(random.Random(2).randrange(n)) for _ in range(LOOKED_UP)]
    assert all(map(ledger.size_of, keys))


def look_at_all(folder: Path, n: int) -> None:
    """What a retry does, but for the looks at the files."""
    assert sum(1 for _ in _ledger(folder)) == n


def validate(folder: Path, n: int) -> None:
    """What `em-assets validate` does."""
    group = folder / "group"
    source, found = folder / "0", Entries()
    for at in range(n):
        path = group / _key(at)
        path.parent.mkdir(parents=True, exist_ok=True)
        if at % LINKS_OF_ONE == 0:
            source = folder / str(at)
            source.write_bytes(CONTENT)
        path.hardlink_to(source)
        found += [Entry(_key(at), len(CONTENT), digest_of(CONTENT))]
    assert Ledger.of(found).problems(group) == []


def write_index(folder: Path, n: int) -> None:
    """What a writer does, and the commit after it."""
    counts = (-(-n // SIDE**2), SIDE, SIDE)
    index = BlockIndex.empty(counts, np.dtype(np.uint8))
    for z in range(counts[0]):
        layer = BlockIndex.empty((1, SIDE, SIDE), np.dtype(np.uint8), (z, 0, 0))
        drawn = np.random.default_rng(z).integers(1, 200, (2, SIDE**2))
        layer.n_voxels[:], layer.n_finite[:], layer.n_zero[:] = 64**3, 64**3, drawn[0]
        layer.min[:], layer.max[:], layer.mean[:], layer.m2[:] = 1, 250, drawn[1] / 3, drawn[0] * 1e3 / 7
        index.put_box(layer)
    assert index.statistics().mean
    packed = index.parquet()
    put(folder / "index.parquet", packed.pieces())
    (folder / "index.blake3").write_text(packed.blake3)


def check_index(folder: Path, n: int) -> None:
    """What `em-assets validate` does with it."""
    ParquetBytes.read(folder / "index.parquet", (folder / "index.blake3").read_text())


STEPS: dict[str, Step] = {
    "ledger: write and commit": write_ledger,
    "ledger: read for some boxes": look_up,
    "ledger: read for a retry": look_at_all,
    "ledger: validate": validate,
    "block index: write and commit": write_index,
    "block index: validate": check_index,
}


def peak_bytes(step: str, folder: Path, n: int) -> tuple[int, float]:
    """The most that a process held beyond its beginning, and its seconds."""
    command = [sys.executable, __file__, "--step", step, "--folder", str(folder), str(n)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdin
        process.stdout.readline()  # it has imported what it needs
        before, most, began = _private_bytes(process.pid), 0, time.perf_counter()
        process.stdin.close()
        while process.poll() is None:
            most = max(most, _private_bytes(process.pid))
            time.sleep(LOOK_S)
        assert process.returncode == 0
        return most - before, time.perf_counter() - began


def _private_bytes(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text().split("\n")
    return next((int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon")), 0)


def _key(at: int) -> str:
    return f"s0/{at // SIDE**2}/{at // SIDE % SIDE}/{at % SIDE}"


def _ledger(folder: Path) -> Ledger:
    return Ledger.read(folder / "ledger.parquet", (folder / "ledger.blake3").read_text())


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("keys", type=int, nargs="+", help="of ledgers; as many chunks an index has")
    parser.add_argument("--quick", action="store_true", help="without validating, which needs files")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        import pyarrow.parquet  # noqa: F401

        print(flush=True)
        sys.stdin.read()
        STEPS[args.step](args.folder, args.keys[0])
        return 0
    for n in args.keys:
        with tempfile.TemporaryDirectory() as folder:
            for step in STEPS:
                if step == "ledger: validate" and (args.quick or n > MOST_FILES):
                    continue
                n_bytes, seconds = peak_bytes(step, Path(folder), n)
                said = {"step": step, "keys": n, "bytes": n_bytes, "bytes_a_key": n_bytes / n, "seconds": seconds}
                print(json.dumps(said), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
