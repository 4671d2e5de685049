"""Whether a committed volume is still what was committed: every byte of it read and compared."""

from em_assets.errors import StoreError
from em_assets.volumes.folders import Folder
from em_assets.volumes.parquet import ParquetBytes
from em_assets.volumes.store import resolve, volume_names


def validate_volume(folder: Folder, n_threads: int | None = None) -> list[str]:
    """What differs between the volume that readers of `folder` get and what was committed; nothing for nothing.

    The commit names the digests of the ledger and of the block index, the ledger size and digest of every file. Each
    file is read whole, in small pieces, by as many threads as there are cores (or as given).
    """
    try:
        committed = resolve(folder)
        if committed is None:
            return [f"{folder}: no commit, so no volume"]
        ledger = committed.ledger()
    except StoreError as error:
        return [str(error)]
    problems = ledger.problems(committed.path, n_threads)
    try:
        ParquetBytes.read(committed.block_index_path, committed.commit.block_index_blake3)
    except StoreError as error:
        problems.append(str(error))
    return problems


def validate_volumes(folder: Folder) -> dict[str, list[str]]:
    """Name → findings, for every volume of a dataset's folder that has a commit."""
    return {name: validate_volume(folder / name) for name in volume_names(folder)}
