"""The only reader of the environment: on call, never on import, into a frozen `Settings` that is passed down."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from em_assets.errors import OriginMismatchError, SettingsError

OMEZarrVersion = Literal["0.4", "0.5"]

ORIGIN_FILE = "origin.json"
PUBLIC = "public"
SAMPLE = "sample"


@dataclass(frozen=True)
class Settings:
    """Where things are kept, where they come from, and how volumes are written.

    Attributes
    ----------
    store
        Root of everything kept.
    origin
        `public`, `sample`, or the absolute path of a folder that mirrors the archives.
    datasets
        A further folder of dataset TOML files, or None.
    ome_zarr
        Version of OME-Zarr that volumes are written in.
    dagster_home
        Folder of the Dagster instance; None where runs are forgotten with the process.
    redact
        Whether tags are kept without the names that paths and e-mail addresses give away.
    """

    store: Path
    origin: str = PUBLIC
    datasets: Path | None = None
    ome_zarr: OMEZarrVersion = "0.5"
    dagster_home: Path | None = None
    redact: bool = False

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

    def volumes_dir(self, dataset: str) -> Path:
        """Folder of a dataset's volumes, one folder each."""
        return self.store / "volumes" / dataset


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment.

    Raises
    ------
    SettingsError
        A variable has a value that cannot be used.
    """
    env = os.environ if environ is None else environ
    store = _store(env.get("EM_ASSETS_STORE") or "./store")
    return Settings(
        store=store,
        origin=_origin(env.get("EM_ASSETS_ORIGIN"), store),
        datasets=_folder("EM_ASSETS_DATASETS", env.get("EM_ASSETS_DATASETS")),
        ome_zarr=_ome_zarr(env.get("EM_ASSETS_OME_ZARR") or "0.5"),
        dagster_home=_folder("DAGSTER_HOME", env.get("DAGSTER_HOME")),
        redact=_switch("EM_ASSETS_REDACT", env.get("EM_ASSETS_REDACT")),
    )


def claim_store(settings: Settings) -> None:
    """Bind a store to its origin on first use; refuse a store that belongs to another.

    Raises
    ------
    OriginMismatchError
        The store was filled from another origin; the message names both and the way out.
    """
    kept = store_origin(settings.store)
    if kept is None:
        try:
            settings.store.mkdir(parents=True, exist_ok=True)
            temporary = settings.store / f".{ORIGIN_FILE}.{os.getpid()}"
            temporary.write_text(json.dumps({"origin": settings.origin}) + "\n")
            temporary.replace(settings.store / ORIGIN_FILE)
        except OSError as error:
            raise SettingsError(
                f"EM_ASSETS_STORE={settings.store}: a folder that can be written expected: {error}"
            ) from error
    elif kept != settings.origin:
        raise OriginMismatchError(
            f"the store {settings.store} was filled from the origin {kept!r} and cannot be used with "
            f"{settings.origin!r}: set EM_ASSETS_ORIGIN={kept}, or name another folder in EM_ASSETS_STORE"
        )


def absolute(path: Path) -> Path:
    """The path from the root, without `..`, which tensorstore refuses; what the last name links to stays unasked."""
    path = path.expanduser().absolute()
    if ".." not in path.parts:
        return path
    return path.resolve() if path.name == ".." else path.parent.resolve() / path.name


def store_origin(store: Path) -> str | None:
    """The origin that a store belongs to; None for a store that holds nothing yet."""
    path = store / ORIGIN_FILE
    if not path.exists():
        return None
    try:
        return str(json.loads(path.read_text())["origin"])
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f'{path}: {{"origin": …}} expected, found {path.read_text()[:80]!r}') from error


def _store(value: str) -> Path:
    if "://" in value:
        raise SettingsError(f"EM_ASSETS_STORE={value}: a folder expected; remote stores are not supported yet")
    return absolute(Path(value))


def _origin(value: str | None, store: Path) -> str:
    if not value:
        return store_origin(store) or PUBLIC
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
