"""What a card shows first: the few fields that people look for, in words, and how the volume is kept."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from em_assets.model import VolumeRecord
from em_assets.page import figures
from em_assets.page.witnesses import Said
from em_assets.volumes.store import CommittedVolume


@dataclass(frozen=True)
class Fact:
    """What a card shows first: a label, the value in words, the fields that it is made of; `note` where it has none."""

    key: str
    label: str
    text: str
    is_unknown: bool
    said: tuple[Said, ...]
    note: str = ""

    @property
    def is_disputed(self) -> bool:
        """Whether anybody says otherwise."""
        return any(said.others for said in self.said)


def facts_of(record: VolumeRecord, said: Mapping[str, Said], committed: CommittedVolume | str | None) -> Iterator[Fact]:
    """The facts of a volume in their order; how it is kept last, where it is."""
    for key, label, fields, text in _FACTS:
        shown = text(record)
        witnesses = tuple(said[field] for field in fields if field in said)
        yield Fact(key, label, figures.UNKNOWN if shown is None else shown, shown is None, witnesses)
    if isinstance(committed, CommittedVolume):
        commit = committed.commit
        shard = f", shards of {figures.shape(commit.shard_shape)}" if commit.shard_shape else ""
        yield Fact(
            key="kept",
            label="Kept as",
            text=f"{figures.size(commit.size_bytes)}, {figures.count(commit.n_levels, 'level')}",
            is_unknown=False,
            said=(),
            note=f"OME-Zarr {commit.ome_zarr}, {figures.count(commit.n_files, 'file')}, chunks of "
            f"{figures.shape(commit.chunk_shape)}{shard}, {commit.compressor}; generation {commit.generation}, "
            f"commit {commit.number}",
        )


def _voxel_size(record: VolumeRecord) -> str | None:
    known = [size for size in record.voxel_size_zyx_nm if size is not None]
    return figures.lengths(record.voxel_size_zyx_nm) if known else None


def _at_the_source(record: VolumeRecord) -> str | None:
    if record.source_bytes is None:
        return None
    files = "" if record.n_files is None else f" in {figures.count(record.n_files, 'file')}"
    return f"{figures.size(record.source_bytes)}{files}"


_FACTS: tuple[tuple[str, str, tuple[str, ...], Callable[[VolumeRecord], str | None]], ...] = (
    ("technique", "Technique", ("technique",), lambda record: record.technique),
    ("organism", "Organism", ("organism", "organism_taxon"), lambda record: record.organism),
    ("sample", "Sample", ("sample", "sample_type"), lambda record: record.sample),
    (
        "voxel",
        "Voxel z×y×x",
        ("voxel_size_z_nm", "voxel_size_y_nm", "voxel_size_x_nm"),
        _voxel_size,
    ),
    (
        "shape",
        "Shape z×y×x",
        ("shape_zyx",),
        lambda record: figures.shape(record.shape_zyx) if record.shape_zyx else None,
    ),
    (
        "extent",
        "Extent z×y×x",
        ("extent_zyx_nm",),
        lambda record: figures.lengths(record.extent_zyx_nm) if record.extent_zyx_nm else None,
    ),
    ("dtype", "Type", ("dtype",), lambda record: record.dtype),
    ("instrument", "Instrument", ("instrument", "accelerating_voltage_kv"), lambda record: record.instrument),
    ("licence", "Licence", ("licence",), lambda record: record.licence),
    ("source", "At the source", ("source_bytes", "n_files"), _at_the_source),
)
"""Key, label, the fields of the record that it is made of, and its words; None for unknown."""
