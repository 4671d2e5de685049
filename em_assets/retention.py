"""`keep_raw = false`: raw bytes are dropped once what they held was proved to be in the store, and fetched when needed.

They are needed again as soon as anything would be made of them: a changed source, another TOML file, other settings, a
writer of other bytes, a table or a volume that is gone. Until then every step finds its work done.
"""

import hashlib
import json

from em_assets.catalog.schemas import OF_A_DATASET
from em_assets.datasets import Dataset
from em_assets.errors import NoScratchRoomError, StoreError
from em_assets.settings import Settings
from em_assets.sources.manifest import MANIFEST, read_dropped
from em_assets.volumes.pyramid import WRITER_FORMAT
from em_assets.volumes.store import committed_volumes

NOT_LOOKED_AT = "not looked at: the raw bytes were dropped, after every voxel was proved to be in the volumes"


def is_dropped(dataset: Dataset, settings: Settings) -> bool:
    """Whether the raw bytes were dropped, and nothing is to be made of them now."""
    dropped = read_dropped(settings.raw_dir(dataset.name))
    return dropped is not None and dropped == made_of(dataset, settings)


def made_of(dataset: Dataset, settings: Settings) -> str | None:
    """Digest of a dataset's files, what the store holds made of them and how; None where a part of it is missing.

    None as well for a dataset whose raw bytes are kept: then nobody needs to know.
    """
    folder, manifest = settings.metadata_dir(dataset.name), settings.raw_dir(dataset.name) / MANIFEST
    if (
        dataset.keep_raw
        or not manifest.is_file()
        or not all((folder / f"{table.name}.parquet").is_file() for table in OF_A_DATASET)
    ):
        return None
    try:
        volumes = committed_volumes(settings.volumes_dir(dataset.name))
        problems = [volume.ledger().first_problem(volume.path) for volume in volumes.values()]
    except NoScratchRoomError:
        raise  # nothing is missing
    except StoreError:
        return None
    if not volumes or any(problems):
        return None
    said = {
        "manifest": hashlib.sha256(manifest.read_bytes()).hexdigest(),
        "dataset": dataset.model_dump(mode="json", by_alias=True),
        "ome_zarr": settings.ome_zarr,
        "codec": settings.codec,
        "redact": settings.redact,
        "writer_format": WRITER_FORMAT,
        "volumes": {name: volume.commit.generation for name, volume in volumes.items()},
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
