"""Ten thousand blocks take no more memory than a thousand."""

import subprocess
import sys
from pathlib import Path

import pytest
from folder_server import serving

MOST_MORE_MIB = 8.0


def memory_mib(*arguments: str) -> tuple[float, float]:
    """Private memory of a process of its own after a tenth of the blocks and after all."""
    command = [sys.executable, str(Path(__file__).with_name("reading_blocks.py")), *arguments]
    early, late = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.split()
    return float(early), float(late)


@pytest.mark.parametrize(
    "kind",
    [
        "ome_zarr_0.5",
        *(pytest.param(kind, marks=pytest.mark.soak) for kind in ("ome_zarr_0.4", "compressed_tiff", "precomputed")),
    ],
)
def test_memory_is_flat_over_ten_thousand_blocks(written: dict[str, Path], kind: str) -> None:
    early, late = memory_mib(str(written[kind]))
    assert late - early < MOST_MORE_MIB


def test_memory_is_flat_where_blocks_come_from_the_cache(written: dict[str, Path], tmp_path: Path) -> None:
    folder = written["ome_zarr_0.5"]
    with serving(folder.parent) as server:
        early, late = memory_mib(f"{server.url}/{folder.name}", "10000", "24", str(tmp_path))
    assert late - early < MOST_MORE_MIB
