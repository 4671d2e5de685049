"""How further wordings are judged: in-plane pixels, extents, bits, numbers of voxels, anisotropy, chunks, formats."""

import math
import re
from typing import Any

from em_assets.evidence.audit_fields import (
    NO_SLIP,
    XYZ_TEXT,
    are_near,
    is_order_free,
    judge_dtype,
    judge_field,
    judge_isotropic,
    judge_shape,
    judge_voxel_size,
    with_value,
)
from em_assets.evidence.audit_rows import FAILS, HOLDS, UNKNOWN, Judgement, Row
from em_assets.evidence.fields import FIELDS
from em_assets.evidence.quantities import in_zyx, is_pixels, triple, written
from em_assets.evidence.truths import Book, voxel_bytes

FORMAT_WORDS = {
    "dm": ("dm3", "dm4", "dm", "gatan", "digitalmicrograph", "digital micrograph"),
    "tiff": ("tiff", "tif", "bigtiff", "ome-tiff", "imagej"),
    "mrc": ("mrc", "map", "ccp4", "rec", "st"),
    "ome_zarr": ("zarr", "ome-zarr", "ome-ngff", "ngff", "ome"),
    "precomputed": ("precomputed", "neuroglancer"),
    "n5": ("n5",),
    "hdf5": ("hdf5", "hdf", "h5"),
}
"""Words for the formats that are read here; the first is the one to answer with."""


def judge_pixel_size(row: Row, book: Book) -> Judgement:
    """A pixel lies in the plane: one number, or two, say nothing of z; three are a voxel."""
    return judge_in_plane(row, book) if triple(row.value) is None else judge_voxel_size(row, book)


def judge_in_plane(row: Row, book: Book) -> Judgement:
    """Height and width of a pixel: both must hold."""
    found = written(row.value)
    if found is None or len(found.numbers) not in (1, 2):
        return judge_field(with_value(row, "voxel_size_x_nm", row.value), book)
    unit = row.unit or found.unit
    judged = [
        judge_field(row.of(f"voxel_size_{axis}_nm", number, found.unit if row.unit is None else unit), book)
        for axis, number in zip(
            "yx", (found.numbers * 2)[-2:] if len(found.numbers) == 1 else found.numbers, strict=True
        )
    ]
    return next((one for verdict in (FAILS, UNKNOWN) for one in judged if one.verdict == verdict), judged[0])


def judge_extent(row: Row, book: Book) -> Judgement:
    """Three lengths; free text is taken as x, y, z where that is what fits."""
    judged = judge_field(row, book)
    found = triple(row.value)
    if judged.verdict != FAILS or found is None or not is_order_free(row, found):
        return judged
    turned = judge_field(row.of(row.field, list(found.numbers[::-1]), found.unit or row.unit), book)
    return turned._replace(cause=XYZ_TEXT) if turned.verdict == HOLDS else judged


def judge_bit_depth(row: Row, book: Book) -> Judgement:
    """Bits of a voxel, or a type where the claim gives one."""
    number = written(row.value)
    bytes_of = voxel_bytes(book.value("dtype", row.volume))
    if (
        number is None
        or len(number.numbers) != 1
        or number.numbers[0] is None
        or re.search("int|float", str(row.value))
    ):
        return judge_dtype(with_value(row, "dtype", row.value), book)
    truths = book.truths("dtype", row.volume)
    if bytes_of is None:
        return Judgement(UNKNOWN, cause=f"nobody here witnessed the type of {book.dataset.name}")
    holds = number.numbers[0] == 8 * bytes_of
    cause = None if holds else "converted on the way: another type than the source's"
    return Judgement(HOLDS if holds else FAILS, 8 * bytes_of, truths[0].witness, cause)


def judge_n_voxels(row: Row, book: Book) -> Judgement:
    """The product of the shape, also rounded and in `Gvoxel`; three numbers are the shape itself."""
    if triple(row.value) is not None:
        return judge_shape(row, book)
    shape = book.value("shape_zyx", row.volume)
    number = written(row.value)
    if shape is None or number is None or len(number.numbers) != 1 or number.numbers[0] is None:
        return Judgement(UNKNOWN, cause=f"no number of voxels in {row.value!r}, or no shape to count them by")
    true = math.prod(shape)
    unit = (row.unit or number.unit or "").casefold()
    factor = next((size for name, size in _PREFIXES.items() if unit.startswith(name)), 1)
    if factor == 1 and unit and not is_pixels(unit):
        return Judgement(UNKNOWN, true, book.truths("shape_zyx")[0].witness, f"{unit!r} is no unit that voxels have")
    slack = 0.5 * 10.0 ** -(number.decimals or 0) * factor if factor > 1 else 0.0
    holds = abs(number.numbers[0] * factor - true) <= max(slack, 0.005 * true if factor > 1 else 0.0)
    return Judgement(HOLDS if holds else FAILS, true, book.truths("shape_zyx")[0].witness, None if holds else NO_SLIP)


_PREFIXES = {
    **{"tera": 10**12, "tvox": 10**12, "trillion": 10**12, "giga": 10**9, "gvox": 10**9, "billion": 10**9},
    **{"mega": 10**6, "mvox": 10**6, "million": 10**6, "kilo": 10**3, "kvox": 10**3, "thousand": 10**3},
}


def judge_anisotropy(row: Row, book: Book) -> Judgement:
    """The longest side of a voxel over its shortest; yes or no, the opposite of isotropic."""
    sizes = [size for size in book.voxel_size_zyx_nm(row.volume) if size is not None]
    number = written(row.value)
    if isinstance(row.value, bool) or number is None or len(number.numbers) != 1 or number.numbers[0] is None:
        opposite = {"true": False, "yes": False, "anisotropic": False, "false": True, "no": True, "isotropic": True}
        word = str(row.value).strip().casefold()
        judged = judge_isotropic(with_value(row, "is_isotropic", opposite.get(word, row.value)), book)
        known = isinstance(judged.true_value, bool)
        return judged._replace(true_value=not judged.true_value) if known else judged
    if len(sizes) < 3:
        return Judgement(UNKNOWN, cause=f"the voxel size of {book.dataset.name} is not known on every axis")
    true, said = max(sizes) / min(sizes), number.numbers[0]
    holds = said > 0 and are_near([max(said, 1 / said)], [true], 0.05)
    witness = book.truths("voxel_size_z_nm", row.volume)[0].witness
    return Judgement(HOLDS if holds else FAILS, round(true, 4), witness, None if holds else NO_SLIP)


def judge_chunk_shape(row: Row, book: Book) -> Judgement:
    """The source's own chunks, z, y, x; one number where they are cubes."""
    claim = next((one for one in book.claims if one.field == "source_chunks"), None)
    true = FIELDS["shape_zyx"].read(claim.model_copy(update={"unit": None})) if claim is not None else None
    found = triple(row.value)
    one = written(row.value)
    numbers = found.numbers if found else one.numbers * 3 if one and len(one.numbers) == 1 else None
    if claim is None or true is None or numbers is None or None in numbers:
        return Judgement(UNKNOWN, true, cause=f"no chunk shape in {row.value!r}, or none known here")
    said = in_zyx(numbers, (found.order if found else None) or row.order or "zyx")
    is_free = found is not None and is_order_free(row, found)
    holds = said == true or (is_free and said[::-1] == true)
    return Judgement(HOLDS if holds else FAILS, true, f"{claim.said_by} ({claim.locator})", None if holds else NO_SLIP)


def judge_compressor(row: Row, book: Book) -> Judgement:
    """A codec by its name, with or without its settings."""
    truths = book.truths("source_compressor", row.volume)
    if not truths:
        return Judgement(UNKNOWN, cause=f"nobody here witnessed the compression of {book.dataset.name}")
    said, true = (_letters(value) for value in (row.value, truths[0].value))
    if not said:
        return Judgement(UNKNOWN, truths[0].value, truths[0].witness, f"no codec in {row.value!r}")
    holds = said in true or true in said
    return Judgement(HOLDS if holds else FAILS, truths[0].value, truths[0].witness, None if holds else "another codec")


def judge_format(row: Row, book: Book) -> Judgement:
    """How the source's files are written, in anybody's words."""
    true = book.dataset.format
    words = set(re.findall(r"[a-z0-9]+", str(row.value).casefold()))
    named = {name for name, of_name in FORMAT_WORDS.items() if words & set(of_name)}
    witness = f"{book.dataset.name}.toml (format)"
    if true is None or not words:
        return Judgement(UNKNOWN, true, cause=f"the format of {book.dataset.name} is found when its files are opened")
    holds = true in named or "".join(words) == _letters(true)
    return Judgement(HOLDS if holds else FAILS, true, witness, None if holds else "another copy, in another format")


def _letters(value: Any) -> str:
    return "".join(letter for letter in str(value).casefold() if letter.isalnum())
