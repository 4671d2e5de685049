"""The only reader of the environment: on call, never on import, into a frozen `Settings` that is passed down."""

import fcntl
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Literal, NamedTuple, cast

from em_assets.errors import OriginMismatchError, SettingsError
from em_assets.remote.path import RemotePath, remote_path
from em_assets.remote.working_copy import WorkingCopy

OMEZarrVersion = Literal["0.4", "0.5"]

ORIGIN_FILE = "origin.json"
PUBLIC = "public"
SAMPLE = "sample"

CODEC = "zstd-1"
CODEC_PATTERN = re.compile(r"(?P<blosc>blosc-)?zstd-(?P<level>[1-9][0-9]?)")
MOST_CODEC_LEVEL = {"zstd": 19, "blosc": 9}

MEMORY_BUDGET_BYTES = 2 << 30
LEAST_MEMORY_BYTES = 1 << 29

CACHE = "~/.cache/em_assets"
"""Where the working copies of stores in buckets are."""

BLOCKS = "blocks"
"""Folder in there of the blocks of volumes that are elsewhere."""


class BlockCache(NamedTuple):
    """Where blocks of volumes that are elsewhere are kept on this disk, and how many bytes of them at most."""

    folder: Path
    most_bytes: int


@dataclass(frozen=True)
class TransferLimits:
    """How long a transfer waits, in seconds, and over how many connections it comes.

    Attributes
    ----------
    connect_s, read_s
        For a connection, and for the next bytes on it.
    least_bytes_per_s, stall_s
        Slower than this over so many seconds counts as a stall.
    no_news_s
        A file ends after so long without new bytes, all tries and pauses counted.
    connections
        To one host at a time, over all processes that use the store; None for what suits its kind.
    """

    connect_s: float = 10.0
    read_s: float = 20.0
    least_bytes_per_s: float = 1000.0
    stall_s: float = 20.0
    no_news_s: float = 60.0
    connections: int | None = None


@dataclass(frozen=True)
class Settings:
    """Where things are kept, where they come from, and how volumes are written.

    Attributes
    ----------
    store
        Root of everything kept; of a store in a bucket the working copy on this disk, which may be deleted at any time.
    remote
        Root of a store in a bucket, where its volumes are and everything else too; None for a store on a disk.
    origin
        `public`, `sample`, or the absolute path of a folder that mirrors the archives.
    datasets
        A further folder of dataset TOML files, or None.
    ome_zarr
        Version of OME-Zarr that volumes are written in.
    codec
        How their chunks are compressed: `zstd-1`, or `blosc-zstd-1`, the number being the level.
    memory_budget_bytes
        Private memory that writing a volume keeps to.
    dagster_home
        Folder of the Dagster instance; None where runs are forgotten with the process.
    redact
        Whether tags are kept without the names that paths and e-mail addresses give away.
    transfer
        How long transfers wait, and over how many connections they come.
    dask
        Address of the Dask scheduler whose workers write volumes; None where this process does.
    block_cache
        Where blocks of volumes that are elsewhere are kept once they were read; None where they are not.
    """

    store: Path
    origin: str = PUBLIC
    datasets: Path | None = None
    ome_zarr: OMEZarrVersion = "0.5"
    codec: str = CODEC
    memory_budget_bytes: int = MEMORY_BUDGET_BYTES
    dagster_home: Path | None = None
    redact: bool = False
    transfer: TransferLimits = TransferLimits()
    dask: str | None = None
    remote: RemotePath | None = None
    block_cache: BlockCache | None = None

    @property
    def address(self) -> str:
        """Where everything is kept, for people."""
        return str(self.remote or self.store)

    @property
    def working_copy(self) -> WorkingCopy | None:
        """What is read and written as files of a store in a bucket; None for a store on a disk."""
        return WorkingCopy(self.store, self.remote) if self.remote else None

    @property
    def sample_sources_dir(self) -> Path:
        """Where the sample origin writes the look-alikes that it serves."""
        return self.store / "sample_sources"

    @property
    def catalog_dir(self) -> Path:
        """Folder of the consolidated tables."""
        return self.store / "catalog"

    def raw_dir(self, dataset: str) -> Path:
        """Folder of a dataset's raw files and their manifest."""
        return self.store / "raw" / dataset

    def metadata_dir(self, dataset: str) -> Path:
        """Folder of a dataset's tags, claims and record."""
        return self.store / "metadata" / dataset

    def exports_dir(self, layout: str) -> Path | RemotePath:
        """Folder of exports in a layout where no other place is named."""
        return (self.remote or self.store) / "exports" / layout

    def volumes_dir(self, dataset: str) -> Path | RemotePath:
        """Folder of a dataset's volumes, one folder each."""
        return (self.remote or self.store) / "volumes" / dataset


def load(environ: Mapping[str, str] | None = None, *, asks_bucket: bool = True) -> Settings:
    """Settings from the environment.

    Parameters
    ----------
    asks_bucket
        Whether a store in a bucket may be asked which origin it was filled from, where no variable and no file of its
        working copy says so: it may not answer for minutes. Without asking, the origin is the public one then.

    Raises
    ------
    SettingsError
        A variable has a value that cannot be used.
    SourceUnreachableError
        The store is in a bucket that does not answer.
    """
    env = os.environ if environ is None else environ
    store, remote = _store(env.get("EM_ASSETS_STORE") or "./store", env)
    return Settings(
        store=store,
        remote=remote,
        origin=_origin(env.get("EM_ASSETS_ORIGIN"), store, remote if asks_bucket else None),
        datasets=_folder("EM_ASSETS_DATASETS", env.get("EM_ASSETS_DATASETS")),
        ome_zarr=_ome_zarr(env.get("EM_ASSETS_OME_ZARR") or "0.5"),
        codec=codec(env),
        memory_budget_bytes=memory_budget_bytes(env),
        dagster_home=_folder("DAGSTER_HOME", env.get("DAGSTER_HOME")),
        redact=_switch("EM_ASSETS_REDACT", env.get("EM_ASSETS_REDACT")),
        transfer=transfer_limits(env),
        dask=dask_address(env),
        block_cache=block_cache(env),
    )


def transfer_limits(environ: Mapping[str, str] | None = None) -> TransferLimits:
    """Limits of transfers: `EM_ASSETS_CONNECT_S`, `EM_ASSETS_CONNECTIONS` and so on.

    Raises
    ------
    SettingsError
        One of them is no number above 0.
    """
    env = os.environ if environ is None else environ
    given = {field.name: env.get(f"EM_ASSETS_{field.name.upper()}") for field in fields(TransferLimits)}
    numbers = {name: _above_zero(f"EM_ASSETS_{name.upper()}", value) for name, value in given.items() if value}
    connections = numbers.pop("connections", None)
    return TransferLimits(**numbers, connections=None if connections is None else max(int(connections), 1))


def _above_zero(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise SettingsError(f"{name}={value}: a number above 0 expected")
    return number


def codec(environ: Mapping[str, str] | None = None) -> str:
    """How chunks are compressed.

    Raises
    ------
    SettingsError
        It is no codec that is written, or none of its levels.
    """
    value = (os.environ if environ is None else environ).get("EM_ASSETS_CODEC") or CODEC
    found = CODEC_PATTERN.fullmatch(value)
    if not found or int(found["level"]) > MOST_CODEC_LEVEL["blosc" if found["blosc"] else "zstd"]:
        raise SettingsError(f"EM_ASSETS_CODEC={value}: zstd-1 to zstd-19, or blosc-zstd-1 to blosc-zstd-9 expected")
    return value


def memory_budget_bytes(environ: Mapping[str, str] | None = None) -> int:
    """Private memory that writing a volume keeps to.

    Raises
    ------
    SettingsError
        It is no number, or too few to work with.
    """
    value = (os.environ if environ is None else environ).get("EM_ASSETS_MEMORY_GIB") or str(MEMORY_BUDGET_BYTES >> 30)
    try:
        budget = int(float(value) * (1 << 30))
    except (ValueError, OverflowError):
        budget = 0
    if budget < LEAST_MEMORY_BYTES:
        raise SettingsError(f"EM_ASSETS_MEMORY_GIB={value}: gibibytes expected, at least {LEAST_MEMORY_BYTES / 2**30}")
    return budget


def dask_address(environ: Mapping[str, str] | None = None) -> str | None:
    """Address of the Dask scheduler that writes volumes; None for none.

    Raises
    ------
    SettingsError
        It is no address.
    """
    value = (os.environ if environ is None else environ).get("EM_ASSETS_DASK")
    if value and not re.fullmatch(r"(tcp|tls|ws|wss)://\S+:\d+", value):
        raise SettingsError(f"EM_ASSETS_DASK={value}: a scheduler's address expected, such as tcp://host:8786")
    return value or None


def block_cache(environ: Mapping[str, str] | None = None) -> BlockCache | None:
    """Where blocks of volumes that are elsewhere are kept; None where they are not, which is the default.

    Raises
    ------
    SettingsError
        Its size is no number of gibibytes.
    """
    env = os.environ if environ is None else environ
    value = env.get("EM_ASSETS_BLOCK_CACHE_GIB") or "0"
    try:
        most_bytes = int(float(value) * (1 << 30))
    except (ValueError, OverflowError):
        most_bytes = -1
    if most_bytes < 0:
        raise SettingsError(f"EM_ASSETS_BLOCK_CACHE_GIB={value}: gibibytes expected, 0 for none")
    return BlockCache(_cache_folder(env) / BLOCKS, most_bytes) if most_bytes else None


def say_to_tensorstore(connect_s: float, stall_s: float, least_bytes_per_s: float) -> None:
    """How long its requests wait: it listens to the environment alone, and would wait for ever.

    What the user said to it holds.
    """
    os.environ.setdefault("TENSORSTORE_CURL_CONNECT_TIMEOUT_SECONDS", str(math.ceil(connect_s)))
    os.environ.setdefault("TENSORSTORE_CURL_LOW_SPEED_TIME_SECONDS", str(math.ceil(stall_s)))
    os.environ.setdefault("TENSORSTORE_CURL_LOW_SPEED_LIMIT_BYTES", str(math.ceil(least_bytes_per_s)))


def claim_store(settings: Settings) -> None:
    """Bind a store to its origin on first use; refuse a store that belongs to another.

    Raises
    ------
    OriginMismatchError
        The store was filled from another origin; the message names both and the way out.
    """
    kept = store_origin(settings.remote or settings.store)
    if kept is None and settings.remote:
        (settings.remote / ORIGIN_FILE).create(_origin_document(settings.origin))
        kept = store_origin(settings.remote)  # another process's, where that one was quicker
    if kept not in (None, settings.origin):
        raise OriginMismatchError(
            f"the store {settings.address} was filled from the origin {kept!r} and cannot be used with "
            f"{settings.origin!r}: set EM_ASSETS_ORIGIN={kept}, or name another folder in EM_ASSETS_STORE"
        )
    if store_origin(settings.store) != settings.origin:
        _write_origin(settings)


def absolute(path: Path) -> Path:
    """The path from the root, without `..`, which tensorstore refuses; what the last name links to stays unasked."""
    path = path.expanduser().absolute()
    if ".." not in path.parts:
        return path
    return path.resolve() if path.name == ".." else path.parent.resolve() / path.name


def place(text: str) -> Path | RemotePath:
    """A folder of this disk, or of a bucket whose server and keys the environment's `AWS_*` name.

    Raises
    ------
    SettingsError
        It is a URL, and no `s3://bucket/key`.
    """
    return remote_path(text, os.environ) if "://" in text else absolute(Path(text))


def own_place(url: str) -> RemotePath | None:
    """A place in the bucket of the store, whose server and keys the environment names; None for any other place."""
    store = os.environ.get("EM_ASSETS_STORE", "")
    is_own = "://" in store and url.startswith("s3://") and url.split("/")[2:3] == store.split("/")[2:3]
    return remote_path(url, os.environ) if is_own else None


def store_origin(store: Path | RemotePath) -> str | None:
    """The origin that a store belongs to; None for a store that holds nothing yet."""
    path = store / ORIGIN_FILE
    try:
        document = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return str(json.loads(document)["origin"])
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f'{path}: {{"origin": …}} expected, found {document[:80]!r}') from error


def _write_origin(settings: Settings) -> None:
    try:
        settings.store.mkdir(parents=True, exist_ok=True)
        folder = os.open(settings.store, os.O_RDONLY)
        try:
            # One process at a time, so that the name beside can be a fixed one: who is killed leaves no litter behind.
            fcntl.flock(folder, fcntl.LOCK_EX)
            temporary = settings.store / f".{ORIGIN_FILE}.new"
            temporary.write_bytes(_origin_document(settings.origin))
            temporary.replace(settings.store / ORIGIN_FILE)
        finally:
            os.close(folder)
    except OSError as error:
        raise SettingsError(
            f"EM_ASSETS_STORE={settings.store}: a folder that can be written expected: {error}"
        ) from error


def _origin_document(origin: str) -> bytes:
    return (json.dumps({"origin": origin}) + "\n").encode()


def _store(value: str, environ: Mapping[str, str]) -> tuple[Path, RemotePath | None]:
    """The store on this disk and, where it is in a bucket, the bucket."""
    if "://" not in value:
        return _folder_or_nothing(value), None
    try:
        remote = remote_path(value, environ)
    except SettingsError as error:
        raise SettingsError(f"EM_ASSETS_STORE={error}") from error
    named = sha256(f"{remote.endpoint} {remote.url}".encode()).hexdigest()[:16]
    return _cache_folder(environ) / named, remote


def _folder_or_nothing(value: str) -> Path:
    """The store's folder, which need not be there yet: below a file it never can be, and would look empty for ever."""
    store = absolute(Path(value))
    # Of a place that may not be looked at, `Path.is_file` would be an error.
    file = next((place for place in (store, *store.parents) if os.path.isfile(place)), None)  # noqa: PTH113
    if file:
        found = "a file" if file == store else f"{file} is a file"
        raise SettingsError(f"EM_ASSETS_STORE={value}: a folder expected, found {found}")
    return store


def _cache_folder(environ: Mapping[str, str]) -> Path:
    return absolute(Path(environ.get("EM_ASSETS_CACHE") or CACHE))


def _origin(value: str | None, store: Path, remote: RemotePath | None) -> str:
    if not value:
        # The working copy is asked first: settings are read whenever Dagster loads its code.
        return store_origin(store) or (store_origin(remote) if remote else None) or PUBLIC
    if value in (PUBLIC, SAMPLE):
        return value
    folder = absolute(Path(value))
    if not folder.is_dir():
        raise SettingsError(f"EM_ASSETS_ORIGIN={value}: public, sample, or an existing folder expected")
    return str(folder)


def _folder(name: str, value: str | None) -> Path | None:
    if not value:
        return None
    folder = absolute(Path(value))
    if not folder.is_dir():
        raise SettingsError(f"{name}={value}: no such folder")
    return folder


def _switch(name: str, value: str | None) -> bool:
    switch = (value or "0").strip().lower()
    if switch not in ("0", "1", "false", "true", "no", "yes"):
        raise SettingsError(f"{name}={value}: 1 or 0 expected")
    return switch in ("1", "true", "yes")


def _ome_zarr(value: str) -> OMEZarrVersion:
    if value not in ("0.4", "0.5"):
        raise SettingsError(f"EM_ASSETS_OME_ZARR={value}: 0.5 or 0.4 expected")
    return cast(OMEZarrVersion, value)
