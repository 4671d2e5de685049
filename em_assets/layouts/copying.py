"""Committed volumes as they lie in the store, copied byte for byte, each file proved by its digest on the way."""

import os
from functools import partial
from pathlib import Path

from em_assets.errors import StoreError
from em_assets.remote.path import RemotePath
from em_assets.volumes.folders import Folder, pieces_of
from em_assets.volumes.ledger import REQUESTS_IN_FLIGHT, Entry
from em_assets.volumes.store import CommittedVolume


def copy_group(volume: CommittedVolume, dest: Path) -> None:
    """Copy the OME-Zarr group of a volume into a folder, on a disk or out of a bucket.

    Not linked: a volume in the store never changes, and who gets the copy may change it.

    Raises
    ------
    StoreError
        A file is missing, or has other bytes than were committed; the message names it.
    """
    at_once = REQUESTS_IN_FLIGHT if isinstance(volume.path, RemotePath) else os.cpu_count() or 1
    for _ in volume.ledger().each(partial(_copy_file, volume.path, dest), at_once):
        pass


def _copy_file(group: Folder, dest: Path, entry: Entry) -> None:
    from blake3 import blake3

    source, target = group / entry.key, dest / entry.key
    target.parent.mkdir(parents=True, exist_ok=True)
    hasher = blake3()
    with target.open("wb") as opened:
        try:
            for piece in pieces_of(source):
                hasher.update(piece)
                opened.write(piece)
        except FileNotFoundError as error:
            raise StoreError(f"{source}: in the ledger and not there; em-assets validate tells what else is") from error
    if hasher.hexdigest() != entry.blake3:
        raise StoreError(f"{source}: other bytes than were committed; em-assets validate tells what else is")
