"""What there is to build: one TOML file a dataset; the file's name is the dataset's name and its Dagster partition.

Three folders are read: this one; the user's own (`EM_ASSETS_DATASETS`); and, for the sample origin alone, the sample's.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast, get_args
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator

from em_assets.errors import RegistryError, UnknownDatasetError, shown_url
from em_assets.model import (
    ALIASES,
    EXTRA_FIELDS,
    FIELD_NAMES,
    NAME_PATTERN,
    VECTORS,
    Content,
    Frozen,
    Source,
    Statement,
)
from em_assets.settings import PUBLIC, SAMPLE, Settings
from em_assets.sources.origins import SCHEMES, url_scheme

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["Dataset", "Said", "builtin_names", "demo_names", "get", "load", "read_toml"]

BUILTIN_DIR = Path(__file__).parent
SAMPLE_DIR = BUILTIN_DIR.parent / "sample" / "datasets"

OriginName = Literal["public", "sample"]

SIZE_FIELDS = ("shape_zyx", "extent_zyx_nm", "source_bytes", "n_files", "source_n_chunks")
"""What depends on how big the archive's copy is; the sample's copies are smaller, so these do not hold for them."""

_FIELDS = (*FIELD_NAMES, *VECTORS, *ALIASES, *EXTRA_FIELDS)
_SLIP = 0.75
"""As alike as this, an unknown field is a known one misspelt; one less alike is kept and decides nothing."""


class Said(NamedTuple):
    """A statement of a dataset's TOML file, and under which of its two headings it stands."""

    kind: Literal["publisher", "recorded"]
    statement: Statement


class Dataset(Frozen):
    """A dataset as its TOML file says it.

    Attributes
    ----------
    name
        The file's name.
    title
        What people call it.
    format
        Name of a module in `formats`; None finds it by magic bytes.
    sources
        `[source]`, or several `[[source]]`.
    says, recorded
        What the publisher says, and what the real files were seen to say before, each with where.
    citation, links
        How to cite it, and pages about it.
    origins
        Under which origins the dataset can be fetched.
    auto
        Fetch it unasked, under `public` too.
    demo
        One of those that `make demo` makes of the sample's look-alikes; the others are asked for by name.
    keep_raw
        False drops the raw bytes once every voxel was proved equal to the written volume's; manifest, lock file and
        tags stay, and what is needed again is fetched again.
    unconfirmed
        What this file could not confirm, in words.
    last_confirmed_live
        Day of the last successful look at the real archive, or `never`.
    """

    name: str
    title: str = Field(min_length=1)
    format: str | None = None
    sources: tuple[Source, ...] = Field(min_length=1)
    says: tuple[Statement, ...] = ()
    recorded: tuple[Statement, ...] = ()
    citation: str | None = None
    links: tuple[str, ...] = ()
    origins: tuple[OriginName, ...] = Field(default=("public", "sample"), min_length=1)
    auto: bool = False
    demo: bool = False
    keep_raw: bool = True
    unconfirmed: str | None = None
    last_confirmed_live: str = Field(default="never", pattern=r"never|\d{4}-\d{2}-\d{2}")

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str | None) -> str | None:
        known = format_names()
        if value is not None and value not in known:
            raise ValueError(f"{value!r} is no format{_did_you_mean(value, known)}; one of {', '.join(known)} expected")
        return value

    @field_validator("sources")
    @classmethod
    def _usable_urls(cls, sources: tuple[Source, ...]) -> tuple[Source, ...]:
        for source in sources:
            for url in (source.url, *source.fallback_urls):
                _check_url(url)
        return sources

    @field_validator("says", "recorded")
    @classmethod
    def _known_words(cls, statements: tuple[Statement, ...]) -> tuple[Statement, ...]:
        for number, statement in enumerate(statements):
            close = difflib.get_close_matches(statement.field, _FIELDS, n=1, cutoff=_SLIP)
            if close and statement.field not in _FIELDS:
                raise ValueError(f"{number}.field: {statement.field!r} is no field; did you mean {close[0]!r}?")
            contents = get_args(Content)
            if statement.field == "content" and statement.value not in contents:
                raise ValueError(
                    f"{number}.value: {statement.value!r} is no content; one of {', '.join(contents)} expected"
                )
            if statement.field in VECTORS and not _may_be_three(statement.value):
                raise ValueError(
                    f"{number}.value: {statement.field} needs 3 numbers (z, y, x), found {statement.value!r}"
                )
        return statements

    @model_validator(mode="after")
    def _volumes_agree(self) -> "Dataset":
        if all(source.archive for source in self.sources):
            raise ValueError("source: nothing but archives' records; a source of files or a cutout expected with them")
        named = [name for source in self.sources for name in source.volume_names]
        for volume in named:
            if named.count(volume) > 1:
                raise ValueError(f"source: two sources of one volume {volume!r}; give each its own `volume`")
        defaults = [source.content or "em" for source in self.sources if source.is_volume and not source.volume_names]
        labelled = [
            name
            for source in self.sources
            for name in (source.labels_of, *(part.labels_of for part in source.parts))
            if name is not None
        ]
        for name in labelled:
            if name not in (*named, *defaults):
                known = ", ".join(sorted({*named, *defaults}))
                raise ValueError(f"source: labels_of = {name!r} names no volume; there are: {known}")
        return self

    def said_under(self, origin: str) -> tuple[Said, ...]:
        """Give what is said and holds under an origin: a sample's volumes have sizes of their own."""
        said = (
            *(Said("publisher", statement) for statement in self.says),
            *(Said("recorded", statement) for statement in self.recorded),
        )
        if origin != SAMPLE:
            return said
        return tuple(one for one in said if one.statement.field not in SIZE_FIELDS)

    def content_said_of(self, volume: str) -> Content | None:
        """What the voxels of a volume are, as `recorded` or `says` has it; a statement of that volume goes first."""
        said = [one for one in (*self.recorded, *self.says) if one.field == "content"]
        for scope in (volume, None):
            for statement in said:
                if statement.volume == scope:
                    return cast(Content, statement.value)
        return None

    def is_served_by(self, origin: str) -> bool:
        """Whether it can be fetched under an origin; a mirror's folder counts as public."""
        return (origin if origin in (PUBLIC, SAMPLE) else PUBLIC) in self.origins


def load(settings: Settings) -> dict[str, Dataset]:
    """Every dataset that these settings know, by name, sorted.

    Raises
    ------
    RegistryError
        A file is wrong; the message names it and the key. Or two folders hold a file of one name.
    """
    folders = [BUILTIN_DIR]
    if settings.datasets is not None:
        folders.append(settings.datasets)
    if settings.origin == SAMPLE and SAMPLE_DIR.is_dir():
        folders.append(SAMPLE_DIR)
    files: dict[str, Path] = {}
    for path in (path for folder in folders for path in sorted(folder.glob("*.toml"))):
        if path.stem in files:
            raise RegistryError(f"{path}: a dataset of that name exists already: {files[path.stem]}; rename one")
        files[path.stem] = path
    return {name: read_toml(files[name]) for name in sorted(files)}


def get(name: str, settings: Settings) -> Dataset:
    """One dataset.

    Raises
    ------
    UnknownDatasetError
        The message lists those that there are.
    """
    known = load(settings)
    if name not in known:
        raise UnknownDatasetError(
            f"no dataset {name!r}{_did_you_mean(name, tuple(known))}; there are: {', '.join(known)}"
        )
    return known[name]


def builtin_names() -> tuple[str, ...]:
    """Names of the datasets that come with the package."""
    return tuple(sorted(path.stem for path in BUILTIN_DIR.glob("*.toml")))


def demo_names() -> tuple[str, ...]:
    """Names of those that `make demo` makes: their TOML files say `demo = true`."""
    return tuple(name for name in builtin_names() if read_toml(BUILTIN_DIR / f"{name}.toml").demo)


def format_names() -> tuple[str, ...]:
    """Names of the formats that a TOML file may give."""
    from em_assets.formats import FORMATS

    return tuple(FORMATS)


def read_toml(path: Path) -> Dataset:
    """Read one dataset from its TOML file.

    Raises
    ------
    RegistryError
        Naming the file and the key.
    """
    if not NAME_PATTERN.fullmatch(path.stem):
        raise RegistryError(
            f"{path}: {path.stem!r} is no dataset name: a-z, 0-9 and '_' expected, a letter or digit first"
        )
    try:
        keys = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RegistryError(f"{path}: no TOML ({error})") from error
    sources = keys.pop("source", None)
    if sources is None:
        no_source = f"{path}: no [source]; the smallest file has a title and a [source] with a url"
        raise RegistryError("; ".join([*_unknown_keys(path, keys), no_source]))
    if "sources" in keys:
        raise RegistryError(f"{path}: sources: unknown key; did you mean [[source]]?")
    if "name" in keys:
        raise RegistryError(f"{path}: name: unknown key; the file's name is the dataset's: rename the file")
    try:
        given = {**keys, "sources": sources if isinstance(sources, list) else [sources]}
        dataset = Dataset(**{**given, "name": path.stem})
    except ValidationError as error:
        raise RegistryError("; ".join(_described(path, detail) for detail in _told(error))) from error
    return _with_absolute_paths(dataset, path.parent)


def _with_absolute_paths(dataset: Dataset, folder: Path) -> Dataset:
    """Make paths absolute: a relative one is relative to its TOML file, whatever the working directory is."""
    sources = tuple(
        source.model_copy(
            update={
                "url": _absolute(source.url, folder),
                "fallback_urls": tuple(_absolute(url, folder) for url in source.fallback_urls),
            }
        )
        for source in dataset.sources
    )
    return dataset.model_copy(update={"sources": sources})


def _absolute(url: str, folder: Path) -> str:
    if "://" in url:
        return url
    path = folder.absolute() / Path(url).expanduser()
    return f"{path}/" if url.endswith("/") else str(path)


def _check_url(url: str) -> None:
    if not url.strip():
        raise ValueError("url: empty; a URL or a path expected")
    if shown_url(url) != url:
        raise ValueError(
            f"url: {shown_url(url)}: a user, password, key or signature is kept nowhere; leave it out: credentials "
            "come from the environment only"
        )
    if any(ord(letter) < 32 for letter in url):
        raise ValueError(f"url: {url!r} has a control character")
    scheme = url_scheme(url)
    if scheme not in SCHEMES:
        raise ValueError(
            f"url: {url}: {scheme}:// is unknown{_did_you_mean(scheme, SCHEMES)}; {', '.join(SCHEMES)} or a path"
        )
    try:
        if urlsplit(url).port == 0:
            raise ValueError("nobody listens at port 0")
    except ValueError as error:
        raise ValueError(f"url: {url}: {error}") from error
    if scheme != "file" and not url.split("://", 1)[1].split("/", 1)[0]:
        raise ValueError(f"url: {url}: no host or bucket after {scheme}://")


def _told(error: ValidationError) -> "list[ErrorDetails]":
    """What is wrong, without what only follows: that no source is left once the bad ones are taken out."""
    details = error.errors()
    return [detail for detail in details if detail["type"] != "too_short" or not detail["input"]] or details


def _described(path: Path, detail: Mapping[str, Any]) -> str:
    """`file: source.1.volum: unknown key; did you mean 'volume'?`."""
    location = [str(part) for part in detail["loc"]]
    if location[:1] == ["sources"]:
        location[0] = "source"
    key = ".".join(location)
    if detail["type"] == "extra_forbidden":
        models: dict[str, type[Frozen]] = {"source": Source, "says": Statement, "recorded": Statement}
        model = models.get(location[0], Dataset) if len(location) > 1 else Dataset
        known = _DATASET_KEYS if model is Dataset else tuple(_keys(model))
        return f"{path}: {key}: unknown key{_did_you_mean(location[-1], known)}"
    found = "" if detail["type"] in ("missing", "value_error") else f", found {detail['input']!r}"
    if detail["type"] == "literal_error" and isinstance(detail["input"], str):
        found += _did_you_mean(detail["input"], re.findall(r"'([^']+)'", detail["ctx"]["expected"]))
    reason = detail["msg"].removeprefix("Value error, ")
    return f"{path}: {key}: {reason}{found}" if key else f"{path}: {reason}{found}"


def _may_be_three(value: object) -> bool:
    """Whether it can be three numbers; what a text or a table comes to is found when it is a claim."""
    return len(value) == 3 if isinstance(value, list) else not isinstance(value, int | float)


def _unknown_keys(path: Path, keys: Mapping[str, Any]) -> list[str]:
    """Each in words: a table whose name has a slip (`[sorce]`) is why another one is missing."""
    return [
        f"{path}: {key}: unknown key{_did_you_mean(key, _DATASET_KEYS)}" for key in keys if key not in _DATASET_KEYS
    ]


def _keys(model: type[Frozen]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


_DATASET_KEYS = ("source", *(key for key in _keys(Dataset) if key not in ("name", "sources")))
"""What stands in a TOML file; the two others are the file's name and `[source]`."""


def _did_you_mean(word: str, known: tuple[str, ...] | list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
