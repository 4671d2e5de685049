"""One published claim as the audit reads it: which dataset and field are meant, in what unit and order of axes."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from em_assets.evidence.audit_names import FURTHER_NAMES, plain_name, spellings
from em_assets.evidence.fields import ALIASES, FIELDS
from em_assets.evidence.quantities import is_known_length
from em_assets.evidence.truths import Book
from em_assets.model import Claim

HOLDS, FAILS, UNKNOWN = "holds", "fails", "unknown"

WHOLE = ("", "*", "all", "registry", "every dataset", "all datasets", "any", "none", "null")
"""Names for the registry as a whole."""


class Judgement(NamedTuple):
    """What became of a claim."""

    verdict: str
    true_value: Any = None
    witness: str | None = None
    cause: str | None = None


@dataclass(frozen=True)
class Row:
    """A claim, its dataset found and its field in our words; `problem` says why it cannot be judged at all.

    `order` is that of the axes where the field's name gives one; `scope` the datasets that it names;
    `document` says where it was published, in the claim's own words.
    """

    dataset: str | None
    volume: str | None
    field: str
    value: Any
    unit: str | None
    said_by: str
    order: str | None = None
    scope: tuple[str, ...] = ()
    problem: str | None = None
    document: str = ""

    def of(self, field: str, value: Any, unit: str | None) -> "Row":
        """The same claim of another field, value and unit."""
        return replace(self, field=field, value=value, unit=unit)

    def claim(self, field: str | None = None, value: Any = None, unit: str | None = None) -> Claim:
        """The same as a `Claim`, so that the readers of `fields` read it."""
        said = self.value if value is None else value
        return Claim(
            dataset=self.dataset or "*",
            volume=self.volume,
            field=field or self.field,
            value=said,
            unit=unit or self.unit,
            kind="publisher",
            said_by=self.said_by,
            locator="audit",
            raw=str(said),
            origin="audit",
        )


FIELD_NAMES = {
    **ALIASES,
    **FURTHER_NAMES,
    "voxel": "voxel_size_zyx_nm",
    "voxel_size": "voxel_size_zyx_nm",
    "voxel_size_nm": "voxel_size_zyx_nm",
    "voxels_nm": "voxel_size_zyx_nm",
    "resolution": "voxel_size_zyx_nm",
    "resolution_nm": "voxel_size_zyx_nm",
    "spacing": "voxel_size_zyx_nm",
    "voxel_spacing": "voxel_size_zyx_nm",
    "pixel_width": "voxel_size_x_nm",
    "pixel_width_nm": "voxel_size_x_nm",
    "pixel_height": "voxel_size_y_nm",
    "pixel_height_nm": "voxel_size_y_nm",
    "z_step": "voxel_size_z_nm",
    "z_step_nm": "voxel_size_z_nm",
    "z_spacing": "voxel_size_z_nm",
    "slice_thickness": "voxel_size_z_nm",
    "slice_thickness_nm": "voxel_size_z_nm",
    "section_thickness": "voxel_size_z_nm",
    "section_thickness_nm": "voxel_size_z_nm",
    "dimensions": "shape_zyx",
    "dims": "shape_zyx",
    "volume_shape": "shape_zyx",
    "array_shape": "shape_zyx",
    "image_size": "shape_zyx",
    "size": "size",
    "crop_shape": "shape_zyx",
    "crop_shape_zyx": "shape_zyx",
    "crop_size": "size",
    "n_pages": "shape_z",
    "pages": "shape_z",
    "n_slices": "shape_z",
    "slices": "shape_z",
    "n_sections": "shape_z",
    "sections": "shape_z",
    "n_planes": "shape_z",
    "depth": "shape_z",
    "shape_z": "shape_z",
    "image_height": "shape_y",
    "height": "shape_y",
    "shape_y": "shape_y",
    "image_width": "shape_x",
    "width": "shape_x",
    "shape_x": "shape_x",
    "extent": "extent_zyx_nm",
    "physical_size": "extent_zyx_nm",
    "file_size": "source_bytes",
    "filesize": "source_bytes",
    "dataset_size": "source_bytes",
    "download_size": "source_bytes",
    "total_bytes": "source_bytes",
    "crop_bytes": "source_bytes",
    "size_mb": "source_bytes",
    "files": "n_files",
    "file_count": "n_files",
    "number_of_files": "n_files",
    "n_arrays": "source_n_levels",
    "arrays": "source_n_levels",
    "isotropic": "is_isotropic",
    "kind": "content",
    "content_type": "content",
    "data_content": "content",
    "taxon": "organism",
    "ncbi_taxon": "organism_taxon",
    "taxon_id": "organism_taxon",
    "technique_id": "technique",
    "imaging_technique": "technique",
    "modality": "technique",
    "type": "dtype",
    "data_types": "dtype",
    "dtypes": "dtype",
    "dtype_words": "dtype",
    "dtype_word": "dtype",
    "voxel_type": "dtype",
    "wd": "working_distance_mm",
    "wd_mm": "working_distance_mm",
    "working_distance": "working_distance_mm",
    "date": "acquired_at",
    "acquired_on": "acquired_at",
    "axes": "axis_order",
    "axis_order": "axis_order",
    "array_order": "axis_order",
    "storage_order": "axis_order",
    "dimension_order": "axis_order",
    "crop_start": "crop_start_zyx",
    "crop_start_zyx": "crop_start_zyx",
    "crop_origin": "crop_start_zyx",
    "crop_offset": "crop_start_zyx",
    "start_zyx": "crop_start_zyx",
    "origin": "crop_start_zyx",
    "crop": "crop_start_zyx",
    "chunks": "n_chunks",
    "chunk_count": "n_chunks",
    "source_n_chunks": "n_chunks",
    "n_chunks": "n_chunks",
    "chunk_size_bytes": "chunk_bytes",
    "chunk_bytes": "chunk_bytes",
    "bytes_per_chunk": "chunk_bytes",
    "name": "dataset",
    "dataset_name": "dataset",
    "dataset_id": "dataset",
    "source": "dataset",
    "source_dataset": "dataset",
    "url": "dataset",
    "source_url": "dataset",
    "id": "dataset",
    "data": "access",
    "data_source": "access",
    "protocol": "access",
    "access": "access",
    "unit": "size_unit",
    "units": "size_unit",
    "size_units": "size_unit",
    "size_column": "size_unit",
    "size_unit": "size_unit",
    "byte_unit": "size_unit",
    "file_size_unit": "size_unit",
    "categories": "tag_categories",
    "tiff_categories": "tag_categories",
    "metadata_categories": "tag_categories",
    "in_multiple_datasets": "n_categories_in_multiple_datasets",
    "categories_in_multiple_datasets": "n_categories_in_multiple_datasets",
    "multiple_datasets": "n_categories_in_multiple_datasets",
    "n_multiple_categories": "n_categories_in_multiple_datasets",
    "organisms": "n_organisms",
    "organism_count": "n_organisms",
    "n_species": "n_organisms",
    "techniques": "technique_shares",
    "technique_share": "technique_shares",
    "technique_counts": "technique_shares",
    "technique_groups": "technique_shares",
    "technique_distribution": "technique_shares",
    "n_isotropic": "n_isotropic",
    "isotropic_count": "n_isotropic",
    "isotropic_datasets": "n_isotropic",
    "isotropic_fraction": "n_isotropic",
    "isotropic_share": "n_isotropic",
    "datasets": "n_datasets",
}
"""What others call a field → what it is here."""

_SUFFIXED = re.compile(r"(.+?)_(nm|um|µm|mm|m|angstrom|a|å|kv|v|mb|gb|kb|mib|gib|kib|px|voxels?|pixels?)")


def row_of(original: Any, books: Mapping[str, Book]) -> Row:
    """A published claim as the audit reads it; anything at all may come in."""
    if not isinstance(original, Mapping):
        return _hopeless("a mapping with dataset, field and value expected")
    said_by, unit = str(original.get("said_by") or ""), original.get("unit")
    row = _field_row(
        str(original.get("field") or ""), original.get("value"), str(unit).strip() or None if unit else None
    )
    problem = row.problem
    dataset, volume, scope = None, original.get("volume"), _names(original.get("datasets"), books)
    wanted = original.get("dataset")
    if isinstance(wanted, list | tuple):
        scope = scope or _names(wanted, books)
    elif wanted is not None and str(wanted).strip().casefold() not in WHOLE:
        dataset, of_name = find_dataset(str(wanted), books)
        volume = volume or of_name
        if dataset is None:
            problem = problem or _unknown_dataset(str(wanted), books)
        elif volume is not None and volume not in books[dataset].volumes:
            volume = None if len(books[dataset].volumes) < 2 else volume
            if volume is not None:
                problem = f"no volume {volume!r} in {dataset}: there are {', '.join(books[dataset].volumes)}"
    return Row(
        dataset=dataset,
        volume=str(volume) if volume is not None else None,
        field=row.field,
        value=row.value,
        unit=row.unit,
        said_by=said_by,
        order=row.order,
        scope=scope,
        problem=problem,
        document=" ".join(str(original.get(key) or "") for key in ("said_by", "at", "dataset_set")),
    )


def find_dataset(name: str, books: Mapping[str, Book]) -> tuple[str | None, str | None]:
    """The dataset that a name means whatever its hyphens, or by its first words, and the volume after a slash."""
    name, _, volume = name.strip().partition("/")
    wanted = _plain(name)
    if name in books:
        return name, volume or None
    same = [known for known in books if _plain(known) == wanted]
    begun = [known for known in books if _plain(known).startswith(f"{wanted}_")]
    found = same or (begun if wanted else [])
    return (found[0] if len(found) == 1 else None), volume or None


def _field_row(name: str, value: Any, unit: str | None) -> Row:
    plain = plain_name(name)
    order = next((one for one in ("zyx", "xyz", "zxy", "yxz", "xzy", "yzx") if re.search(rf"_{one}(_|$)", plain)), None)
    order = order or ("zyx" if "shape" in plain.split("_") else None)  # a shape is an array's
    bare = plain if order in (None, "zyx") else plain.replace(f"_{order}", "_zyx", 1)
    field, of_name = _known(bare)
    suffixed = _SUFFIXED.fullmatch(bare)
    if field is None and suffixed:
        stem, of_name = suffixed.groups()
        field = next((found for end in ("", "_nm", "_kv", "_mm") if (found := _known(f"{stem}{end}")[0])), None)
        of_name = {"a": "angstrom", "å": "angstrom"}.get(of_name, of_name)
        if field in ("shape_zyx", "size") and is_known_length(of_name):
            field = "extent_zyx_nm"
    if field is None:
        return Row(None, None, bare, value, unit, "", order)
    return Row(None, None, field, value, unit or of_name, "", order)


def _known(plain: str) -> tuple[str | None, str | None]:
    if plain in FIELDS or plain == "voxel_size_zyx_nm":
        return plain, None
    if plain == "size_mb":
        return "source_bytes", "MB"
    known = (FIELD_NAMES.get(one, one if one in FIELDS else None) for one in spellings(plain))
    return next((field for field in known if field), None), None


def _names(value: Any, books: Mapping[str, Book]) -> tuple[str, ...]:
    values = value if isinstance(value, list | tuple) else []
    found = (find_dataset(str(name), books)[0] for name in values)
    return tuple(sorted({name for name in found if name}))


def _unknown_dataset(name: str, books: Mapping[str, Book]) -> str:
    close = difflib.get_close_matches(_plain(name), list(books), n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"no dataset {name!r} in the registry{hint}"


def _hopeless(problem: str) -> Row:
    return Row(None, None, "", None, None, "", problem=problem)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9µåÅ]+", "_", name.strip().casefold()).strip("_")
