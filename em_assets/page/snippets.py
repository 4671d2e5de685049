"""The lines of code that open a committed volume, as people copy them."""

from typing import NamedTuple

from em_assets.model import ZYX
from em_assets.volumes.store import CommittedVolume

BLOCK: ZYX = (32, 256, 256)


class Snippet(NamedTuple):
    """Lines to copy, what they are for, and in which language."""

    title: str
    code: str


def snippets(dataset: str, committed: CommittedVolume, *, is_only: bool, place: str) -> tuple[Snippet, ...]:
    """With em_assets, with any reader of Zarr, and to look at it; `place` is where the volume's group lies."""
    volume = committed.folder.name
    named = "" if is_only else f', volume="{volume}"'
    option = "" if is_only else f" --volume {volume}"
    z, y, x = (min(side, extent) for side, extent in zip(BLOCK, committed.commit.shape_zyx, strict=True))
    return (
        Snippet(
            "Python",
            "from em_assets import open_volume\n\n"
            f'volume = open_volume("{dataset}"{named})\n'
            f"block = volume[:{z}, :{y}, :{x}]",
        ),
        Snippet(
            "zarr-python",
            f'import zarr\n\nlevels = zarr.open_group("{place}", mode="r")\n'
            f'block = levels["{committed.commit.levels[0].path}"][:{z}, :{y}, :{x}]',
        ),
        Snippet("Terminal", f"em-assets show {dataset}\nem-assets open {dataset}{option}  # in a browser"),
    )
