"""What people type for a dataset: an archive's accession, a page of it, or an address → where files and record are.

An archive's addresses are put together from its number by rules that public code uses; whether they answer is seen when
they are asked. One function an archive, one line in `ACCESSIONS`.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from em_assets.errors import SourceMissingError
from em_assets.model import ArchiveName
from em_assets.sources.origins import Origin
from em_assets.sources.protocols import ask
from em_assets.sources.wire import Patience

_EMPIAR = re.compile(r"(?:(?:https?://)?(?:dx\.)?doi\.org/)?(?:10\.6019/)?EMPIAR-(\d{4,8})/?", re.IGNORECASE)
_EMPIAR_PAGE = re.compile(
    r"https?://www\.ebi\.ac\.uk/(?:pdbe/emdb/)?empiar/(?:api/)?(?:entry/)?(?:EMPIAR-)?(\d{4,8})/?", re.IGNORECASE
)
_EMPIAR_FILES = re.compile(r"(?:https?|ftp)://ftp\.ebi\.ac\.uk/(?:pub/databases/)?empiar/\w+/(\d{4,8})/.*")
_EMPIAR_TREE = "ftp.ebi.ac.uk/empiar/world_availability"
_EMPIAR_RECORD = "https://www.ebi.ac.uk/empiar/api/entry"

_IDR = re.compile(r"(idr\d{4})(-[\w.-]+)?", re.IGNORECASE)
_IDR_FILES = re.compile(r"(?:https?|ftp)://ftp\.ebi\.ac\.uk/pub/databases/IDR/(idr\d{4}-[\w.-]+)/.*")
_IDR_TREE = "ftp://ftp.ebi.ac.uk/pub/databases/IDR/"
_IDR_RECORDS = "https://raw.githubusercontent.com/IDR"
_IDR_BRANCHES = ("master", "HEAD")


class Place(NamedTuple):
    """Where a dataset's files are, and its archive's record of it.

    Attributes
    ----------
    url, fallback_urls
        Of a file or folder; other addresses of the same bytes.
    archive
        Whose record it is, None for an address of no known archive.
    record_urls
        Where the record may be: the first that answers is it.
    name
        What the accession calls the dataset; None where only an address is known.
    """

    url: str
    fallback_urls: tuple[str, ...] = ()
    archive: ArchiveName | None = None
    record_urls: tuple[str, ...] = ()
    name: str | None = None


def place_of(text: str, origin: Origin, patience: Patience) -> Place:
    """Where the dataset is that is meant: an accession or an archive's page by its rules, any other address as it is.

    Raises
    ------
    SourceMissingError
        The archive answers, and has no such accession.
    SourceUnreachableError
        It does not answer.
    """
    for accession in ACCESSIONS:
        place = accession(text, origin, patience)
        if place is not None:
            return place
    return Place(text)


def _empiar(text: str, origin: Origin, patience: Patience) -> Place | None:
    del origin, patience  # the number says everything
    entry = _EMPIAR.fullmatch(text) or _EMPIAR_PAGE.fullmatch(text)
    if entry is not None:
        url, fallbacks = (f"{scheme}://{_EMPIAR_TREE}/{entry[1]}/data/" for scheme in ("https", "ftp"))
        return _of_entry(entry[1], url, (fallbacks,))
    files = _EMPIAR_FILES.fullmatch(text)
    return _of_entry(files[1], text, ()) if files else None


def _of_entry(number: str, url: str, fallback_urls: tuple[str, ...]) -> Place:
    return Place(url, fallback_urls, "empiar", (f"{_EMPIAR_RECORD}/{number}/",), f"empiar_{number}")


def _idr(text: str, origin: Origin, patience: Patience) -> Place | None:
    files = _IDR_FILES.fullmatch(text)
    if files is not None:
        return _of_study(files[1], text)
    accession = _IDR.fullmatch(text)
    if accession is None:
        return None
    speaker, location = ask(_IDR_TREE, origin)
    studies = [name.rstrip("/") for name in speaker.names(location, patience) if name.endswith("/")]
    named = [study for study in studies if study.casefold() == text.casefold()]
    found = named or [study for study in studies if study.startswith(f"{accession[1].lower()}-")]
    if len(found) != 1:
        more = f"; there are: {', '.join(found[:10])}" if found else ""
        raise SourceMissingError(f"{_IDR_TREE}: one study {text} expected, found {len(found)}{more}")
    return _of_study(found[0], f"{_IDR_TREE}{found[0]}/")


def _of_study(study: str, url: str) -> Place:
    number = study.partition("-")[0]
    records = tuple(f"{_IDR_RECORDS}/{study}/{branch}/{number}-study.txt" for branch in _IDR_BRANCHES)
    return Place(url, (), "idr", records, study)


ACCESSIONS: tuple[Callable[[str, Origin, Patience], Place | None], ...] = (_empiar, _idr)
