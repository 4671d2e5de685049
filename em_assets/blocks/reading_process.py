"""The process that reads boxes for one that may not: `python -m em_assets.blocks.reading_process`, started by `apart`.

::

    stdin    (pickled volume, [(start_zyx, shape_zyx), …])     again and again, until it ends
    stdout   None, then the voxels of each box; or the error that was raised
"""

import os
import pickle
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO

from numpy.typing import NDArray

from em_assets.errors import EMAssetsError

if TYPE_CHECKING:
    from em_assets.blocks.volume import VolumeDataset


@lru_cache(maxsize=64)
def _opened(pickled: bytes) -> "VolumeDataset":
    volume: VolumeDataset = pickle.loads(pickled)
    return volume


def answer(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until they end."""
    while True:
        try:
            pickled, boxes = pickle.load(requests)
        except EOFError:
            return
        try:
            blocks: list[NDArray[Any]] = list(_opened(pickled).read_many(boxes))
        except EMAssetsError as error:
            pickle.dump(error, answers)
        else:
            pickle.dump(None, answers)
            for block in blocks:
                answers.write(block.data.cast("B"))
        answers.flush()


if __name__ == "__main__":
    # What a library prints must not end up among the voxels.
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        answer(sys.stdin.buffer, answers)
