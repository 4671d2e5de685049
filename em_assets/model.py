"""The words of the catalog: what a source, a file, a tag, a claim and a volume's record are.

Lengths are nanometres, axes are z, y, x, sizes are bytes. Unknown is None and stays None.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

ZYX = tuple[int, int, int]
"""Three whole numbers of voxels: z, y, x."""

FloatZYX = tuple[float, float, float]
"""Three lengths in nanometres: z, y, x."""

PartialFloatZYX = tuple[float | None, float | None, float | None]
"""Three lengths in nanometres, each None where nobody witnessed it."""

Content = Literal["em", "labels", "fluorescence"]
ArchiveName = Literal["empiar", "idr", "openorganelle", "cryoet"]
ClaimKind = Literal["file", "archive", "publisher", "recorded", "derived"]

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_]*")
"""Names of datasets: they are partition keys, folder names and SQL values, so Dagster's own laxer rule is too wide."""

VOLUME_NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
"""Names of volumes: a folder name on every system; VISoR's `slice_1_stack_1.405nm_10X` must fit."""

DEFAULT_MAX_BYTES = 20_000_000_000


def _volume_name(value: str) -> str:
    if not VOLUME_NAME_PATTERN.fullmatch(value):
        raise ValueError(f"{value!r} is no volume name: letters, digits, '_', '.', '+', '-' expected")
    return value


VolumeName = Annotated[str, AfterValidator(_volume_name)]


class Frozen(BaseModel):
    """A value: it never changes, and a key that is not declared is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Statement(Frozen):
    """What somebody says of one field, and where they say it.

    Attributes
    ----------
    field
        The field of the record.
    value
        What is said: a word, a number, three numbers z, y, x.
    unit
        Unit of the value; None takes the one in the field's name.
    at
        The page or record that says it, or the file and tag.
    volume
        The volume it is said of; None for the whole dataset.
    """

    field: str
    value: JsonValue
    unit: str | None = None
    at: str
    volume: VolumeName | None = None


class Part(Frozen):
    """One of several volumes that a source's files hold.

    Attributes
    ----------
    inside
        What the files call it: its place in an HDF5 file, `volumes/labels/neuron_ids`.
    volume, content, labels_of
        As of a source.
    """

    inside: str
    volume: VolumeName
    content: Content | None = None
    labels_of: VolumeName | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Part":
        _check_labels_of(self.content, self.labels_of)
        return self


class Source(Frozen):
    """Where one volume, or several, of a dataset come from.

    Attributes
    ----------
    kind
        `files`: a file or a tree of files, fetched whole. `cutout`: a box of a remote volume.
    url
        A file, a folder, `s3://`, `gs://`, `ftp://`, `https://`, `file://` or a path.
    fallback_urls
        Other addresses of the same bytes, asked when `url` does not answer.
    include, exclude
        Globs on paths below `url`: `*` stays inside a folder, `**` crosses folders.
    volume
        Name of the volume; None lets the files name theirs.
    content, labels_of
        What the voxels are; labels name the volume that they label.
    part
        Where the files hold several volumes: which of them are taken, each with a name of its own. In Python `parts`.
    is_volume
        False for files that are kept with their tags but hold no voxels of their own.
    archive
        These files are the archive's own record of the dataset: claims are read from them, and they hold no voxels.
    max_bytes
        A plan above it is refused.
    etag_is_md5
        False where a server's ETags of 32 hexadecimal digits are not the files' MD5, which they are nearly everywhere.
    copy
        Files on this machine's disks are copied into the store; without it they are hashed, watched and read where they
        lie. Files from elsewhere are always copied. In Python `is_copied`: every model has a method `copy`.
    shape_zyx, sample_shape_zyx, start_zyx, seed
        For a cut-out: the box's shape (the second one for the sample origin's smaller volume), and its start; without a
        start the seed draws one.
    level
        For a cut-out: which of the remote volume's resolutions, 0 the finest; shape and start count its voxels. Some
        archives have placeholders in the place of the finest.
    absent_is_fill
        For a cut-out of a zarr volume whose publisher writes no empty chunks: one that is not there holds the fill
        value. Without it such a chunk is an error, since a lost one looks the same.
    """

    kind: Literal["files", "cutout"] = "files"
    url: str
    fallback_urls: tuple[str, ...] = ()
    include: tuple[str, ...] = ("**",)
    exclude: tuple[str, ...] = ()
    volume: VolumeName | None = None
    content: Content | None = None
    labels_of: VolumeName | None = None
    parts: tuple[Part, ...] = Field(default=(), alias="part")
    is_volume: bool = True
    archive: ArchiveName | None = None
    max_bytes: int = Field(default=DEFAULT_MAX_BYTES, gt=0)
    etag_is_md5: bool = True
    is_copied: bool = Field(default=False, alias="copy")
    shape_zyx: ZYX | None = None
    sample_shape_zyx: ZYX | None = None
    start_zyx: ZYX | None = None
    seed: int = 0
    level: int = Field(default=0, ge=0)
    absent_is_fill: bool = False

    @model_validator(mode="before")
    @classmethod
    def _a_record_is_no_volume(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("archive") is not None:
            return {"is_volume": False, **given}
        return given

    @model_validator(mode="after")
    def _consistent(self) -> "Source":
        if self.archive and (self.kind != "files" or self.is_volume or self.volume or self.content):
            raise ValueError("archive: an archive's record is files without a volume: no other kind, volume or content")
        if self.kind == "cutout" and self.shape_zyx is None:
            raise ValueError("shape_zyx: a cutout needs the shape of its box")
        of_a_box = (self.shape_zyx, self.sample_shape_zyx, self.start_zyx, self.level, self.absent_is_fill)
        if self.kind == "files" and any(of_a_box):
            raise ValueError('shape_zyx, sample_shape_zyx, start_zyx, level, absent_is_fill: only for kind = "cutout"')
        if self.parts and (self.kind != "files" or not self.is_volume or self.volume or self.content):
            raise ValueError("part: a part has its own volume and content; the source has files and neither of these")
        for shape in (self.shape_zyx, self.sample_shape_zyx):
            if shape and min(shape) < 1:
                raise ValueError(f"shape_zyx: {list(shape)} has an axis below 1")
        _check_labels_of(self.content, self.labels_of)
        return self

    @property
    def volume_names(self) -> tuple[str, ...]:
        """Names of volumes that are given here, and not by the files."""
        return (self.volume,) if self.volume else tuple(part.volume for part in self.parts)


def _check_labels_of(content: Content | None, labels_of: str | None) -> None:
    if (content == "labels") != (labels_of is not None):
        raise ValueError('labels_of: content = "labels" and labels_of = "<volume>" belong together')


class RemoteFile(Frozen):
    """A file as its source lists it: nothing downloaded yet.

    `validator` is what tells a changed file from an unchanged one without its bytes (ETag, generation, modification
    time); `url` is the public address whatever the origin, so that manifests of two origins can be compared.
    """

    path: str
    url: str
    size_bytes: int | None
    validator: str | None


class RawFile(Frozen):
    """A file that is held whole: one row of a dataset's manifest. `path` is relative to `raw/<dataset>/files/`."""

    path: str
    url: str
    size_bytes: int
    sha256: str
    validator: str | None
    source: int


class Tag(NamedTuple):
    """One original tag of a file, its declared type kept.

    `container` is the part of the file that holds it (`page 3`, `header`, `s0/.zarray`, …), `path` its name there.
    `value` is str, int, float, bool, None, or a list or dict of these.
    """

    container: str
    path: str
    value: Any
    type: str


class Witness(NamedTuple):
    """What one tag says of one field: `unit` as written, `locator` finds the tag again, `raw` is its text."""

    field: str
    value: Any
    unit: str | None
    locator: str
    raw: str


class Claim(Frozen):
    """What one source says of one field of a dataset or, when `volume` is given, of one volume."""

    dataset: str
    volume: str | None
    field: str
    value: JsonValue
    unit: str | None = None
    kind: ClaimKind
    said_by: str
    locator: str
    raw: str
    origin: str


class VolumeRecord(Frozen):
    """What is true of one volume, as far as anyone witnessed it.

    Attributes
    ----------
    shape_zyx
        Voxels along z, y, x.
    voxel_size_zyx_nm
        Step between slices, pixel height, pixel width; None for an axis that nobody witnessed or that is disputed.
    extent_zyx_nm
        Physical size along z, y, x.
    """

    dataset: str
    volume: str
    origin: str
    title: str | None = None
    description: str | None = None
    authors: str | None = None
    technique: str | None = None
    technique_id: str | None = None
    organism: str | None = None
    organism_taxon: int | None = None
    sample: str | None = None
    sample_type: str | None = None
    content: Content | None = None
    contrast_polarity: str | None = None
    labels_of: str | None = None
    shape_zyx: ZYX | None = None
    dtype: str | None = None
    voxel_size_zyx_nm: PartialFloatZYX = (None, None, None)
    extent_zyx_nm: FloatZYX | None = None
    instrument: str | None = None
    accelerating_voltage_kv: float | None = None
    working_distance_mm: float | None = None
    acquired_at: str | None = None
    deposited_on: str | None = None
    released_on: str | None = None
    licence: str | None = None
    doi: str | None = None
    source_n_levels: int | None = None
    source_chunks: str | None = None
    source_compressor: str | None = None
    n_files: int | None = None
    source_bytes: int | None = None
    citation: str | None = None


class Conflict(Frozen):
    """Two claims of one field that differ beyond its tolerance.

    `factor` is the larger value over the smaller one; `cause` is what likely went wrong, None where no known slip fits;
    `rule` is the verdict in words.
    """

    dataset: str
    volume: str | None
    field: str
    value: JsonValue
    unit: str | None = None
    said_by: str
    kind: ClaimKind | None = None
    other_value: JsonValue
    other_said_by: str
    other_kind: ClaimKind | None = None
    factor: float | None = None
    cause: str | None = None
    is_settled: bool
    rule: str


FIELD_NAMES = (
    "title",
    "description",
    "authors",
    "technique",
    "organism",
    "organism_taxon",
    "sample",
    "sample_type",
    "content",
    "contrast_polarity",
    "shape_zyx",
    "dtype",
    "voxel_size_z_nm",
    "voxel_size_y_nm",
    "voxel_size_x_nm",
    "extent_zyx_nm",
    "instrument",
    "accelerating_voltage_kv",
    "working_distance_mm",
    "acquired_at",
    "deposited_on",
    "released_on",
    "licence",
    "doi",
    "citation",
    "source_n_levels",
    "source_chunks",
    "source_compressor",
    "n_files",
    "source_bytes",
)
"""Fields of a record that claims decide."""

EXTRA_FIELDS = ("axis_order", "blank_start_zyx", "crop_seed", "folders", "other_file_bytes", "source_n_chunks")
"""Fields of claims that decide nothing in a record: checks and audits compare them."""

ALIASES = {
    "n_levels": "source_n_levels",
    "levels": "source_n_levels",
    "license": "licence",
    "species": "organism",
    "imaging_method": "technique",
    "method": "technique",
    "modality": "technique",
    "data_type": "dtype",
    "author": "authors",
    "shape": "shape_zyx",
    "extent_nm": "extent_zyx_nm",
    "voltage_kv": "accelerating_voltage_kv",
    "accelerating_voltage": "accelerating_voltage_kv",
    "release_date": "released_on",
    "deposition_date": "deposited_on",
    "acquisition_date": "acquired_at",
    "microscope": "instrument",
    "polarity": "contrast_polarity",
    "size_bytes": "source_bytes",
    "bytes": "source_bytes",
}
"""Other names of fields, as others use them."""

VECTORS = {"voxel_size_zyx_nm": ("voxel_size_z_nm", "voxel_size_y_nm", "voxel_size_x_nm")}
"""A claim of three numbers is three claims: one axis can be wrong alone."""


def known(voxel_size_zyx_nm: Sequence[float | None]) -> FloatZYX | None:
    """The triple where all three axes are known; None otherwise."""
    z, y, x = voxel_size_zyx_nm
    if z is None or y is None or x is None:
        return None
    return (z, y, x)
