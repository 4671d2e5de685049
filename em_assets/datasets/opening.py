"""A dataset's raw files → its volumes, and the files and folders whose tags are to be read."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from em_assets.datasets import Dataset
from em_assets.errors import FormatError, UnknownFormatError
from em_assets.formats.volume import SourceVolume
from em_assets.model import ZYX, Content, Part, RawFile, Source
from em_assets.sources import source_prefixes
from em_assets.sources.crop import ATTRIBUTE
from em_assets.sources.cutout import CROP, REMOTE_METADATA
from em_assets.sources.manifest import FILES
from em_assets.sources.paths import file_name

WHOLE_TREE = "."
_UNSAFE = re.compile(r"[^A-Za-z0-9_.+-]")


@dataclass(frozen=True)
class RawVolume:
    """A volume of a dataset, as its raw files hold it.

    `source_chunks`, `source_compressor` and `source_n_levels` are those of the archive's copy: for a cutout, of the
    remote volume that it was cut from. `is_content_witnessed` is False where neither the source's `content` nor its
    files say what the voxels are: then a statement of the TOML file does, or nobody and it is taken for em.
    """

    name: str
    content: Content
    labels_of: str | None
    source: SourceVolume
    source_chunks: ZYX | None
    source_compressor: str | None
    source_n_levels: int
    is_content_witnessed: bool = True


def open_raw(dataset: Dataset, raw_dir: Path, files: Sequence[RawFile]) -> list[RawVolume]:
    """Open every volume of a dataset lazily, in the order of its sources.

    Raises
    ------
    FormatError
        A file is not of the format said, two volumes have one name, or labels do not fit what they label.
    """
    volumes: list[RawVolume] = []
    for index, source in enumerate(dataset.sources):
        if not source.is_volume:
            continue
        rows = [file for file in files if file.source == index]
        opened = _open_source(dataset, index, raw_dir, rows)
        if source.parts:
            volumes += [_described_part(dataset, source, part, opened) for part in source.parts]
        else:
            volumes += [_described(dataset, source, volume, len(opened)) for volume in opened]
    _check_names(dataset, volumes)
    _check_labels(dataset, volumes)
    return volumes


def raw_units(dataset: Dataset, raw_dir: Path, files: Sequence[RawFile]) -> list[tuple[str, Path]]:
    """What carries tags: a label and a path for each file of a known format and each zarr or precomputed folder.

    A label is the path below the raw files, or the address's last name where the source itself is such a folder. Files
    of no known format are kept and not read; an archive's record is no file of the dataset's own, but those of the
    cryoET portal are part of its tree, and not all of their keys are claims.
    """
    return [
        (file_name(source.url.rstrip("/")) if unit == WHOLE_TREE else unit, raw_dir / FILES / unit)
        for index, source in enumerate(dataset.sources)
        if source.archive in (None, "cryoet")
        for unit in _units([file for file in files if file.source == index], raw_dir)
    ]


def is_of_another_level(dataset: Dataset, raw_dir: Path, unit: Path) -> bool:
    """Whether a unit is what a remote volume says of itself, and a coarser level than its finest was cut from."""
    folders = [
        raw_dir / FILES / prefix / REMOTE_METADATA
        for source, prefix in zip(dataset.sources, source_prefixes(dataset.sources), strict=True)
        if source.level
    ]
    return unit in folders


def _open_source(dataset: Dataset, index: int, raw_dir: Path, rows: list[RawFile]) -> list[SourceVolume]:
    from em_assets.formats import open_files, open_path

    root = raw_dir / FILES
    if dataset.sources[index].kind == "cutout":
        return open_path(root / source_prefixes(dataset.sources)[index] / CROP, format="ome_zarr")
    folders = _marked_folders(rows)
    loose = [row.path for row in rows if _inside(row.path, folders) is None]
    singles = [path for path in loose if _format_name(root / path) is not None]
    _check_siblings(dataset, root, loose, singles)
    _check_format(dataset, root, rows, folders, singles)
    volumes = [volume for folder in folders for volume in open_path(root / folder)]
    if singles:
        volumes += open_files([root / path for path in singles])
    return volumes


def _check_siblings(dataset: Dataset, root: Path, loose: list[str], singles: list[str]) -> None:
    """Refuse a slice that is no slice: left out like a text file, it would leave a hole in the volume."""
    suffixes = {PurePosixPath(path).suffix for path in singles} - {""}
    for path in loose:
        if path not in singles and PurePosixPath(path).suffix in suffixes:
            raise _unknown(dataset, root / path)


def _check_format(dataset: Dataset, root: Path, rows: list[RawFile], folders: list[str], singles: list[str]) -> None:
    """Compare what the TOML file says with what the bytes say; files of no known format are only an error alone."""
    from em_assets.formats import detect

    if not folders and not singles:
        if not rows:
            raise FormatError(f"{dataset.name}: no raw file for one of its sources; fetch it again")
        raise _unknown(dataset, root / rows[0].path)
    found = {path: detect(root / path).NAME for path in (*folders, *singles)}
    if dataset.format is not None:
        for path, name in found.items():
            if name != dataset.format:
                raise FormatError(
                    f"{root / path}: {dataset.format} expected, as {dataset.name}.toml says, found {name}; "
                    "mend `format`, or leave the file out with `include` or `exclude`"
                )
    if len(set(found.values())) > 1:
        one, other = sorted(set(found.values()))[:2]
        raise FormatError(
            f"{dataset.name}: one source holds files of two formats, {one} and {other}; choose with `include`"
        )


def _unknown(dataset: Dataset, path: Path) -> FormatError:
    from em_assets.formats import detect

    try:
        detect(path)
    except UnknownFormatError as error:
        said = f"; {dataset.format} expected, as {dataset.name}.toml says" if dataset.format else ""
        return UnknownFormatError(f"{error}{said}; mend the file, or choose others with `include` and `exclude`")
    return FormatError(f"{path}: no volume in it")


def _units(rows: list[RawFile], raw_dir: Path) -> Iterator[str]:
    folders = _marked_folders(rows)
    done: set[str] = set()
    for row in rows:
        folder = _inside(row.path, folders)
        unit = row.path if folder is None else folder
        if unit not in done and (folder is not None or _has_tags(raw_dir / FILES / row.path)):
            done.add(unit)
            yield unit


def _marked_folders(rows: Sequence[RawFile]) -> list[str]:
    """Topmost folders that a marker file makes one thing, sorted; `.` is the source's whole tree."""
    from em_assets.formats import FORMATS

    markers = {marker for format in FORMATS.values() for marker in format.MARKERS}
    marked = sorted({_parent(row.path) for row in rows if PurePosixPath(row.path).name in markers})
    return [folder for folder in marked if _inside(_parent(folder), marked) is None or folder == WHOLE_TREE]


def _parent(path: str) -> str:
    return PurePosixPath(path).parent.as_posix()


def _inside(path: str, folders: Sequence[str]) -> str | None:
    """The folder of these that a path lies in or is; None for none."""
    for folder in folders:
        if folder == WHOLE_TREE or path == folder or path.startswith(f"{folder}/"):
            return folder
    return None


def _format_name(path: Path) -> str | None:
    from em_assets.formats import detect

    try:
        return detect(path).NAME
    except UnknownFormatError:
        return None


def _has_tags(path: Path) -> bool:
    """Whether a format reads it; a document that is none is kept like a text file, so it stops no dataset."""
    from em_assets.formats import detect_tagged, documents

    try:
        return detect_tagged(path) is not documents or documents.is_whole(str(path))
    except UnknownFormatError:
        return False


def _described(dataset: Dataset, source: Source, volume: SourceVolume, n_volumes: int) -> RawVolume:
    witnessed = source.content or volume.content
    content = witnessed or dataset.content_said_of(source.volume or volume.name) or "em"
    name = source.volume or (content if n_volumes == 1 else volume.name)
    if n_volumes > 1 and source.volume:
        name = f"{source.volume}_{volume.name}"
    level = volume.levels[0]
    cut = _cut_from(Path(volume.files[0])) if source.kind == "cutout" else {}
    return RawVolume(
        name=safe_volume_name(name),
        content=content,
        labels_of=source.labels_of,
        source=volume,
        source_chunks=_zyx(cut["source_chunks"]) if cut else level.chunk_shape_zyx,
        source_compressor=cut["source_compressor"] if cut else volume.compressor,
        source_n_levels=cut["source_n_levels"] if cut else len(volume.levels),
        is_content_witnessed=witnessed is not None,
    )


def _described_part(dataset: Dataset, source: Source, part: Part, opened: Sequence[SourceVolume]) -> RawVolume:
    for volume in opened:
        if volume.name == part.inside:
            one = source.model_copy(
                update={"volume": part.volume, "content": part.content, "labels_of": part.labels_of, "parts": ()}
            )
            return _described(dataset, one, volume, n_volumes=1)
    names = ", ".join(volume.name for volume in opened)
    raise FormatError(f"{dataset.name}: no {part.inside!r} in {source.url}; mend `inside`, there are: {names}")


def safe_volume_name(name: str) -> str:
    """Name a volume as a folder may be named on every system; unsafe characters become `_`."""
    safe = _UNSAFE.sub("_", name)
    return safe if safe[:1].isalnum() else f"v{safe}"


def _cut_from(crop: Path) -> dict[str, Any]:
    attributes = json.loads((crop / "zarr.json").read_text())["attributes"]
    cut: dict[str, Any] = attributes[ATTRIBUTE]
    return cut


def _zyx(value: list[int] | None) -> ZYX | None:
    return (value[0], value[1], value[2]) if value else None


def _check_names(dataset: Dataset, volumes: list[RawVolume]) -> None:
    names = [volume.name.casefold() for volume in volumes]
    for volume in volumes:
        if names.count(volume.name.casefold()) > 1:
            raise FormatError(
                f"{dataset.name}: two volumes would be named {volume.name!r}; give each [[source]] its own `volume`"
            )


def _check_labels(dataset: Dataset, volumes: list[RawVolume]) -> None:
    """Labels must lie on the voxels that they label: same shape and, where both are known, same voxel size."""
    by_name = {volume.name: volume.source for volume in volumes}
    for volume in volumes:
        if volume.labels_of is None:
            continue
        labelled = by_name.get(volume.labels_of)
        if labelled is None:
            raise FormatError(
                f"{dataset.name}: {volume.name} labels {volume.labels_of!r}, and there is no such volume: "
                f"{', '.join(by_name)}"
            )
        if labelled.shape_zyx != volume.source.shape_zyx:
            raise FormatError(
                f"{dataset.name}: labels {volume.name} have shape {volume.source.shape_zyx} (z, y, x), "
                f"what they label, {volume.labels_of}, has {labelled.shape_zyx}"
            )
        pairs = zip(labelled.voxel_size_zyx_nm, volume.source.voxel_size_zyx_nm, strict=True)
        if any(one and other and not math.isclose(one, other, rel_tol=1e-3) for one, other in pairs):
            raise FormatError(
                f"{dataset.name}: labels {volume.name} have voxels of {volume.source.voxel_size_zyx_nm} nm (z, y, x), "
                f"what they label, {volume.labels_of}, of {labelled.voxel_size_zyx_nm}"
            )
