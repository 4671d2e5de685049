"""`em-assets add`: an accession or address → the TOML file of a dataset, with what could be found and nothing more.

::

    accessions   what was typed → where files and record are
    listing      names below an address, within bounds
    looking      what lies there: first bytes, a volume's own metadata, which format and which volume
    saying       what the archive's record says → statements
    writing      all of it as TOML; what nobody says is a comment

The source is asked as any fetch asks it: under the sample origin its look-alike answers, under a mirror's the mirror.
"""

import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from em_assets.adding.accessions import Place, place_of
from em_assets.adding.looking import Found, look
from em_assets.adding.saying import Heard, hear
from em_assets.adding.writing import toml_of
from em_assets.datasets import load, read_toml
from em_assets.errors import UsageError, shown_url
from em_assets.model import DEFAULT_MAX_BYTES, NAME_PATTERN
from em_assets.sample import serving
from em_assets.settings import SAMPLE, Settings, absolute
from em_assets.sources.origins import THIS_MACHINE, Origin, url_scheme
from em_assets.sources.paths import below
from em_assets.sources.wire import Patience
from em_assets.volumes.staging import create_only

MOST_NAME_LETTERS = 60
ALL = ("**",)


class Added(NamedTuple):
    """A dataset's file that was written.

    Attributes
    ----------
    unknown
        Fields that nobody says, so far.
    remarks
        What the user should know before fetching, in words.
    """

    path: Path
    dataset: str
    format: str
    source: str
    record_urls: tuple[str, ...]
    said: tuple[str, ...]
    unknown: tuple[str, ...]
    remarks: tuple[str, ...]


def add(
    address: str,
    settings: Settings,
    *,
    name: str | None = None,
    to: Path | None = None,
    include: Sequence[str] = (),
    max_bytes: int | None = None,
) -> Added:
    """Look at an accession or address and write `<name>.toml` for it.

    Parameters
    ----------
    name
        Of the dataset; by default the accession's, or the address's last name.
    to
        The folder of the file; by default `settings.datasets`.
    include
        Globs of the files that are meant, where there are others.
    max_bytes
        A volume of more is taken as a box.

    Raises
    ------
    UsageError
        No folder to write to, a name that is taken or none, or several volumes to choose from.
    UnknownFormatError
        No format knows what is there.
    SourceError
        Nothing is there, or nobody answers.
    """
    folder = to or settings.datasets
    if folder is None:
        raise UsageError("no folder for the TOML: name it with --to or EM_ASSETS_DATASETS; `em-assets init` makes one")
    asked_for = address.strip()
    patience = Patience.within_limits(settings.transfer)
    with serving(settings) as origin:
        place = _place(asked_for, origin, patience)
        dataset = _name_of(name, place)
        path = _free(folder, dataset, settings)
        found = look(place.url, tuple(include) or ALL, origin, patience)
        heard = hear(place, _data_urls(found), origin, patience)
        text = toml_of(
            asked_for,
            place,
            found,
            heard,
            title=heard.title or dataset,
            max_bytes=max_bytes or DEFAULT_MAX_BYTES,
            is_everywhere=_is_served_everywhere(place.url, settings),
        )
    _write(path, text)
    return Added(
        path=path,
        dataset=dataset,
        format=found.format,
        source=found.url,
        record_urls=heard.record_urls,
        said=tuple(dict.fromkeys(statement.field for statement in heard.statements)),
        unknown=heard.unknown(is_voxel_size_known=found.is_voxel_size_known),
        remarks=tuple(_remarks(place, found, heard)),
    )


def _place(address: str, origin: Origin, patience: Patience) -> Place:
    """Where the dataset is; a path from the root on.

    Raises
    ------
    UsageError
        It is empty, or has credentials in it.
    """
    if not address:
        raise UsageError("an accession, a URL or a path expected, found nothing")
    if shown_url(address) != address:
        raise UsageError(f"{address}: a user, password, key or signature is kept nowhere; leave it out")
    place = place_of(address, origin, patience)
    if "://" in place.url:
        return place
    return place._replace(url=f"{absolute(Path(address))}{'/' if address.endswith('/') else ''}")


def _name_of(name: str | None, place: Place) -> str:
    if name is None:
        words = place.name or Path(unquote(place.url.rstrip("/")).rsplit("/", 1)[-1]).stem
        name = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:MOST_NAME_LETTERS].rstrip("_")
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(
            f"{name!r} is no dataset name: a-z, 0-9 and '_' expected, a letter or digit first; choose one with --name"
        )
    return name


def _free(folder: Path, name: str, settings: Settings) -> Path:
    """Where the file is to be written; what is there already, or registered, stays what it is."""
    path = folder / f"{name}.toml"
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path}: exists already; choose another --name, or remove it first")
    if name in load(settings):
        raise UsageError(f"{name} is registered already: em-assets plan {name}; or choose another --name")
    return path


def _data_urls(found: Found) -> list[str]:
    """Addresses of what is to be fetched, by which a record's places are found."""
    return [below(found.url, path) for path in found.paths] or [found.url]


def _is_served_everywhere(url: str, settings: Settings) -> bool:
    """Whether the address means the same under the sample origin: a look-alike of it, or this machine's own file."""
    is_here = url_scheme(url) == "file" or urlsplit(url).netloc.rsplit(":", 1)[0] in THIS_MACHINE
    return is_here or settings.origin == SAMPLE


def _write(path: Path, text: str) -> None:
    """Write the file, once it was read as any dataset's."""
    with tempfile.TemporaryDirectory() as folder:
        tried = Path(folder) / path.name
        tried.write_text(text, encoding="utf-8")
        read_toml(tried)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = create_only(path, text.encode())
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
    if not is_new:
        raise UsageError(f"{path}: exists already; choose another --name, or remove it first")


def _remarks(place: Place, found: Found, heard: Heard) -> Iterator[str]:
    if not found.is_all:
        yield f"{place.url}: not everything was listed; narrow it with --include, or name a folder inside"
    if place.archive is not None and not heard.record_urls:
        yield f"no record of the archive at {' or '.join(place.record_urls)}"
    if heard.doubtful:
        yield f"{len(heard.doubtful)} statements of the record were not taken over: the file says why"
