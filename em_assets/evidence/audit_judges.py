"""Which judge a claim about one dataset goes to, and who contradicts himself."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from em_assets.evidence.audit_fields import (
    Judge,
    cube_of,
    judge_axis_count,
    judge_bytes,
    judge_content,
    judge_dtype,
    judge_field,
    judge_files,
    judge_isotropic,
    judge_shape,
    judge_voxel_size,
)
from em_assets.evidence.audit_further import (
    judge_anisotropy,
    judge_bit_depth,
    judge_chunk_shape,
    judge_compressor,
    judge_extent,
    judge_format,
    judge_in_plane,
    judge_n_voxels,
    judge_pixel_size,
)
from em_assets.evidence.audit_rows import Row
from em_assets.evidence.audit_sources import (
    judge_as_said,
    judge_axis_order,
    judge_chunk_bytes,
    judge_chunks,
    judge_identity,
    judge_seed,
    judge_start,
)
from em_assets.evidence.fields import FIELDS
from em_assets.evidence.quantities import bytes_per, one_unit, triple, written
from em_assets.evidence.truths import Book, voxel_bytes


def judge_of(row: Row, book: Book) -> Judge | None:
    """The judge of a field; None where it is one of the registry as a whole, or none that anybody knows."""
    if row.field == "size":
        return _judge_of_size(row)
    if row.field == "n_chunks" and triple(row.value) is not None and not isinstance(row.value, dict):
        return judge_chunk_shape
    if row.field in _JUDGES:
        return _JUDGES[row.field]
    if row.field in FIELDS:
        return judge_field
    return judge_as_said if any(claim.field == row.field for claim in book.claims) else None


def contradictions(rows: Sequence[Row], books: Mapping[str, Book]) -> dict[int, str]:
    """By the row's number: what else the same person says of the same thing that cannot hold beside it."""
    groups: dict[tuple[str, str, str], list[tuple[int, Any]]] = {}
    for number, row in enumerate(rows):
        if row.said_by and row.dataset is not None and not row.problem:
            thing = _thing(row, books[row.dataset])
            if thing is not None:
                groups.setdefault((row.said_by, row.dataset, thing[0]), []).append((number, thing[1]))
    found = {}
    for of_thing in groups.values():
        for number, value in of_thing:
            others = [other for i, other in of_thing if i != number and not _alike(value, other)]
            if others:
                found[number] = "contradicts itself: the same source also says " + ", ".join(
                    str(rows[i].value) for i, other in of_thing if other in others
                )
    return found


def _thing(row: Row, book: Book) -> tuple[str, Any] | None:
    """What is spoken of and how much: a box's bytes whether its shape or its size is given."""
    if row.field in ("size", "shape_zyx") and (
        found := triple(row.value) or (cube_of(row) if book.is_cutout else None)
    ):
        numbers = [number for number in found.numbers if number]
        if len(numbers) == 3 and book.is_cutout:
            return "size", math.prod(numbers) * (voxel_bytes(book.value("dtype")) or 1)
        return "shape_zyx", sorted(numbers)
    field = "source_bytes" if row.field == "size" else row.field
    if field == "source_bytes":
        value = FIELDS[field].read(row.claim(field))
        return ("size", float(value)) if value else None
    if field in ("n_files", "technique", "organism", "dtype", "content", "source_n_levels"):
        value = FIELDS[field].read(row.claim(field))
        return (field, value) if value else None
    return None


def _alike(value: Any, other: Any) -> bool:
    if isinstance(value, float | int) and isinstance(other, float | int):
        return math.isclose(value, other, rel_tol=6e-2)
    return bool(value == other)


def _judge_of_size(row: Row) -> Judge:
    found = triple(row.value)
    if found is not None:
        return judge_shape
    single = written(row.value)
    unit = single and one_unit(single.unit, row.unit)[0]
    return judge_bytes if bytes_per(unit) else judge_shape


_JUDGES: dict[str, Judge] = {
    "voxel_size_zyx_nm": judge_voxel_size,
    "voxel_size_yx_nm": judge_in_plane,
    "pixel_size": judge_pixel_size,
    "extent_zyx_nm": judge_extent,
    "n_voxels": judge_n_voxels,
    "bit_depth": judge_bit_depth,
    "anisotropy": judge_anisotropy,
    "chunk_shape": judge_chunk_shape,
    "source_chunks": judge_chunk_shape,
    "source_compressor": judge_compressor,
    "format": judge_format,
    "shape_zyx": judge_shape,
    "shape_z": judge_axis_count,
    "shape_y": judge_axis_count,
    "shape_x": judge_axis_count,
    "n_files": judge_files,
    "is_isotropic": judge_isotropic,
    "content": judge_content,
    "dtype": judge_dtype,
    "axis_order": judge_axis_order,
    "crop_start_zyx": judge_start,
    "seed": judge_seed,
    "crop_seed": judge_seed,
    "n_chunks": judge_chunks,
    "chunk_bytes": judge_chunk_bytes,
    "dataset": judge_identity,
    "access": judge_identity,
    "title": judge_identity,
}
