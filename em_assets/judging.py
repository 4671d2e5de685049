"""Whether what a dataset holds is the data that it should be, as findings in words with what to do.

What is certain stops a run: pages saved as data, what an archive counts and is not there, volumes without a picture.
"""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from em_assets.building import held_files, present_files, raw_volumes
from em_assets.catalog import tables
from em_assets.catalog.schemas import CLAIMS
from em_assets.datasets import Dataset
from em_assets.datasets.opening import RawVolume
from em_assets.evidence import incompleteness
from em_assets.evidence.completeness import COUNTED, MEASURED, n_chunks
from em_assets.formats import FORMATS
from em_assets.formats.slices import hole_in_numbering
from em_assets.keeping import bring_raw
from em_assets.model import RawFile
from em_assets.retention import is_dropped
from em_assets.settings import SAMPLE, Settings
from em_assets.sources.crop import ATTRIBUTE
from em_assets.sources.manifest import FILES
from em_assets.volumes.pages import HEAD_BYTES, MOST_BYTES, VOXEL_SUFFIXES, is_page, page_in
from em_assets.volumes.placeholders import blank_levels
from em_assets.volumes.quality import why_blank
from em_assets.volumes.store import committed_volumes

MOST_NAMED = 3
READ_AT_ONCE = 8

PAGE_SUFFIXES = (".html", ".htm", ".xhtml")
WORDS = ("readme", "license", "licence", "notice", "provenance")
"""Files of words that lie among the chunks of a volume, without a suffix."""


class Shortfall(NamedTuple):
    """What is declared and not held: `lacking` for certain, while `doubtful` may be meant so."""

    lacking: list[str]
    doubtful: list[str]


def pages_saved_as_data(dataset: Dataset, settings: Settings) -> list[str]:
    """Files that hold a web page, a server's refusal, a pointer or text where voxels belong."""
    bring_raw(settings, dataset.name)
    root = settings.raw_dir(dataset.name) / FILES
    files = [file for file in present_files(dataset, settings) if dataset.sources[file.source].archive is None]
    folders = {str(PurePosixPath(file.path).parent) for file in files if PurePosixPath(file.path).name in _markers()}
    small = [file for file in files if file.size_bytes <= MOST_BYTES]
    with ThreadPoolExecutor(READ_AT_ONCE) as pool:
        kinds = pool.map(lambda file: _page_in(root, file, folders), small)
        found = [f"{file.path} is {kind}" for file, kind in zip(small, kinds, strict=True) if kind]
    if not found:
        return []
    named = ", ".join(found[:MOST_NAMED]) + (", …" if len(found) > MOST_NAMED else "")
    return [
        f"{len(found)} of {len(files)} files hold no data: {named}; see what their URLs show in a browser, then remove "
        f"these files and fetch again: em-assets fetch {dataset.name}"
    ]


def incomplete_holding(dataset: Dataset, settings: Settings) -> Shortfall:
    """What the archive declares and is not held: files, folders, bytes, chunks by arithmetic, numbers left out."""
    table = tables.read_table(settings.metadata_dir(dataset.name) / "claims.parquet", CLAIMS)
    said = tables.claims_of_table(table)
    sources = [source for source in dataset.sources if source.archive is None]
    files = [file for file in held_files(dataset, settings) if dataset.sources[file.source].archive is None]
    lacking: list[str] = []
    doubtful: list[str] = []
    if not any(source.kind == "cutout" for source in sources):
        is_sample = settings.origin == SAMPLE
        lacking = [_with_remedy(one) for one in incompleteness(said, files, is_sample=is_sample, fields=COUNTED)]
        doubtful = incompleteness(said, files, is_sample=is_sample, fields=MEASURED)
    if any(source.include != ("**",) or source.exclude for source in sources):  # left out on purpose, perhaps
        lacking, doubtful = [], lacking + doubtful
    for raw in () if is_dropped(dataset, settings) else raw_volumes(dataset, settings):
        for problem, is_all in _missing_chunks(raw):
            (lacking if is_all else doubtful).append(problem)
        hole = hole_in_numbering(raw.source.files)
        doubtful += [f"{raw.name}: {hole}"] if hole else []
    return Shortfall(lacking, doubtful)


def blank_volumes(dataset: Dataset, settings: Settings) -> list[str]:
    """Committed volumes without a picture in them, all zero or one value throughout, and what they were made from."""
    committed = committed_volumes(settings.volumes_dir(dataset.name))
    blank = {name: said for name, volume in committed.items() if (said := why_blank(volume.commit.statistics))}
    if not blank:
        return []
    raws = {} if is_dropped(dataset, settings) else {raw.name: raw for raw in raw_volumes(dataset, settings)}
    return [f"{name}: {said}: {_why_blank(raws.get(name))}" for name, said in blank.items()]


def _markers() -> set[str]:
    return {marker for format in FORMATS.values() for marker in format.MARKERS}


def _page_in(root: Path, file: RawFile, folders: set[str]) -> str | None:
    with (root / file.path).open("rb") as stream:
        kind = page_in(stream.read(HEAD_BYTES))
    if kind is None or (is_page(kind) and file.path.casefold().endswith(PAGE_SUFFIXES)):
        return None
    return kind if is_page(kind) or _is_place_of_voxels(PurePosixPath(file.path), folders) else None


def _is_place_of_voxels(path: PurePosixPath, folders: set[str]) -> bool:
    """Whether a file of this name is a chunk of a marked folder, or an image: documents and lists have suffixes."""
    if path.suffix.casefold() in VOXEL_SUFFIXES:
        return True
    is_document = path.name.startswith(".") or path.name in _markers() or path.name.casefold() in WORDS
    is_number = not path.suffix or path.suffix[1:].isdecimal()
    return is_number and not is_document and any(str(parent) in folders for parent in path.parents)


def _with_remedy(problem: str) -> str:
    return (
        f"{problem}: does the mirror or the listing leave sub-folders out? Fetch again from the archive itself, or "
        "name what you leave out on purpose with `exclude`"
    )


def _missing_chunks(raw: RawVolume) -> Iterator[tuple[str, bool]]:
    """Levels of a zarr group on disk with fewer files than shape over chunks gives, and whether there is none at all.

    A writer may leave out chunks of nothing but fill value; one that left out every chunk of a level wrote nothing.
    """
    root = Path(raw.source.files[0]) if len(raw.source.files) == 1 else None
    if root is None or not root.is_dir():
        return
    for document in sorted(path for path in root.rglob("*") if path.name in (".zarray", "zarr.json")):
        grid = _chunk_grid(json.loads(document.read_text(encoding="utf-8")))
        if grid is None:
            continue
        expected = n_chunks(*grid)
        held = sum(1 for path in document.parent.rglob("*") if path.is_file() and not _is_document(path))
        if held < expected:
            name = f"{raw.name} {document.parent.relative_to(root)}"
            problem = f"{name}: {expected} chunks by arithmetic, {held} held"
            yield (_with_remedy(problem) if held == 0 else problem), held == 0


def _chunk_grid(document: Any) -> tuple[Sequence[int], Sequence[int]] | None:
    """Shape of an array and of what one file of it holds; None where the document is of no array."""
    if "chunks" in document:
        return document["shape"], document["chunks"]
    if document.get("node_type") != "array":
        return None
    return document["shape"], document["chunk_grid"]["configuration"]["chunk_shape"]


def _is_document(path: Path) -> bool:
    return path.name.startswith(".") or path.name == "zarr.json"


def _why_blank(raw: RawVolume | None) -> str:
    if raw is None:
        return "is the crop, or the source, empty?"
    cut = _cut_from(raw)
    if cut is not None:
        return (
            f"the box from {tuple(cut['start_zyx'])} of shape {tuple(cut['shape_zyx'])} (z, y, x) of {cut['url']} "
            "holds nothing; leave `start_zyx` out, so that boxes are drawn until one shows something, or name another"
        )
    if 0 in blank_levels(raw.source):
        return "the source's finest level is a placeholder, its coarser ones show something; name a filled level"
    missing = [problem for problem, _ in _missing_chunks(raw)]
    return "; ".join(missing) if missing else "the source itself is empty, or the wrong file: look at its preview"


def _cut_from(raw: RawVolume) -> dict[str, Any] | None:
    """Where a cut-out was cut; None for anything else."""
    document = Path(raw.source.files[0]) / "zarr.json"
    if not document.is_file():
        return None
    cut: dict[str, Any] | None = json.loads(document.read_text(encoding="utf-8"))["attributes"].get(ATTRIBUTE)
    return cut
