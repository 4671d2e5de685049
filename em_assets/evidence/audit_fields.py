"""How a claim about a field of one dataset's record is judged."""

import math
import re
from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

from em_assets.evidence.audit_coarser import of_less_exact
from em_assets.evidence.audit_rows import FAILS, HOLDS, UNKNOWN, Judgement, Row
from em_assets.evidence.causes import Case, factor_between, likely_cause
from em_assets.evidence.fields import FIELDS, VOXEL_SIZE_TOLERANCE
from em_assets.evidence.findings import why_unread
from em_assets.evidence.quantities import Written, bytes_per, in_zyx, is_known_length, one_unit, triple, written
from em_assets.evidence.truths import Book, Truth, voxel_bytes
from em_assets.evidence.vocabulary import dtype_word
from em_assets.units import to_nm

Judge = Callable[[Row, Book], Judgement]

NO_SLIP = "no known slip of unit, order or count explains it: another dataset, another version, or a guess"

XYZ_TEXT = "written x, y, z"


def judge_field(row: Row, book: Book) -> Judgement:
    """A field of the record: read, compared with the best witness, and explained."""
    claim = row.claim()
    rule = FIELDS[row.field]
    said = rule.read(claim)
    truths = book.truths(row.field, row.volume)
    if said is None:
        wider = [
            of_less_exact(row, row.value, one.value) for one in truths
        ]  # no word of the vocabulary, but true of one
        if wider and wider[0] and all(wider):
            return _answered(wider[0][0], truths, wider[0][1])
        return _answered(UNKNOWN, truths, why_unread(claim) or f"cannot be read: {row.value!r}")
    if not truths:
        return Judgement(UNKNOWN, cause=f"nobody here witnessed {row.field} of {book.dataset.name}")
    if any(one.is_disputed for one in truths):
        return _answered(UNKNOWN, truths, "the witnesses disagree among themselves")
    slack = rule.slack(claim) if rule.slack else 0.0
    differing = [one for one in truths if not _agree(row.field, one.value, said, max(slack, _slack_of(one)))]
    if not differing:
        return _answered(HOLDS, truths, _in_other_words(row, said))
    coarser = [of_less_exact(row, said, one.value) for one in differing]
    if len(differing) == len(truths) and coarser[0] and all(coarser):
        return _answered(coarser[0][0], truths, coarser[0][1])
    if len(differing) < len(truths):
        return _answered(FAILS, truths, _one_volumes_own(differing, truths))
    return _answered(FAILS, truths, _cause(row, book, said, differing[0], slack))


def judge_voxel_size(row: Row, book: Book) -> Judgement:
    """Three lengths; text is taken as x, y, z where that is what fits, a list under a field's name as it stands."""
    found = triple(row.value)
    true = book.voxel_size_zyx_nm(row.volume)
    truths = [one for axis in "zyx" for one in book.truths(f"voxel_size_{axis}_nm", row.volume)[:1]]
    witness = truths[0].witness if truths else None
    if found is None:
        return _judge_one_length(row, true, witness)
    unit, contradiction = one_unit(found.unit, row.unit)
    if contradiction:
        return Judgement(UNKNOWN, true, witness, contradiction)
    lengths = [None if number is None else to_nm(number, unit or "nm") for number in found.numbers]
    if None in lengths:
        return Judgement(UNKNOWN, true, witness, why_unread(row.claim(unit=unit or "nm")) or "no length above 0")
    if None in true:
        return Judgement(UNKNOWN, true, witness, f"the voxel size of {book.dataset.name} is not known on every axis")
    said = in_zyx(tuple(lengths), found.order or row.order or "zyx")
    if are_near(said, true):
        return Judgement(HOLDS, true, witness)
    is_free = is_order_free(row, found)
    if is_free and are_near(said[::-1], true):
        return Judgement(HOLDS, true, witness, XYZ_TEXT)
    return Judgement(FAILS, true, witness, _cause_of_voxel(said, true))


def is_order_free(row: Row, found: Written) -> bool:
    """Whether x, y, z may be meant: neither value nor name gives an order, or a name of ours stands over free text."""
    return not found.order and (row.order is None or (found.is_text and row.order == "zyx"))


def judge_shape(row: Row, book: Book) -> Judgement:
    """Three counts, in any written order; lengths where voxels are counted are a unit mix."""
    found = triple(row.value) or cube_of(row)
    truths = book.truths("shape_zyx", row.volume)
    true = _value_of(truths)
    if found is None:
        return _judge_size_as_bytes(row, book) or _answered(UNKNOWN, truths, f"no three numbers in {row.value!r}")
    unit, contradiction = one_unit(found.unit, row.unit)
    if contradiction:
        return _answered(UNKNOWN, truths, contradiction)
    if is_known_length(unit):
        return _unit_mix(found, str(unit), row, book, truths)
    if not truths:
        return Judgement(UNKNOWN, cause=f"nobody here witnessed the shape of {book.dataset.name}")
    said = FIELDS["shape_zyx"].read(
        row.claim(value=in_zyx(found.numbers, found.order or row.order or "zyx"), unit="px")
    )
    if said is None:
        return _answered(UNKNOWN, truths, why_unread(row.claim("shape_zyx")) or f"no counts: {row.value!r}")
    equal = [one for one in truths if one.value == said]
    if equal:
        note = f"of volume {equal[0].volume}" if len(truths) > 1 else None
        return _answered(HOLDS, truths, note)
    is_free = is_order_free(row, found)
    if is_free and any(one.value == said[::-1] for one in truths):
        return _answered(HOLDS, truths, XYZ_TEXT)
    if book.is_cutout and all(n >= m for one in truths for n, m in zip(said, one.value, strict=True)):
        return _answered(UNKNOWN, truths, "speaks of the whole volume, and only a box of it is held")
    causes = [likely_cause(Case("shape_zyx", said, one.value)) for one in truths]
    return Judgement(FAILS, true, truths[0].witness, next((cause for cause in causes if cause), NO_SLIP))


def judge_axis_count(row: Row, book: Book) -> Judgement:
    """Pages, rows or columns: one axis of the shape, of each volume."""
    truths = book.truths("shape_zyx", row.volume)
    axis = "zyx".index(row.field[-1])
    if not truths:
        return Judgement(UNKNOWN, cause=f"nobody here witnessed the shape of {book.dataset.name}")
    true = {str(one.volume): one.value[axis] for one in truths}
    answer: Any = next(iter(true.values())) if len(true) == 1 else true
    witness = truths[0].witness
    said = _counts(row, list(true))
    if said is None:
        return _answered(UNKNOWN, truths, f"no count in {row.value!r}")
    if all(said[volume] == number for volume, number in true.items()):
        return Judgement(HOLDS, answer, witness)
    right = [volume for volume, number in true.items() if said[volume] == number]
    if right:
        return Judgement(FAILS, answer, witness, f"true of {', '.join(right)} only: one volume's figure taken for all")
    one_said, one_true = next(iter(said.values())), next(iter(true.values()))
    if one_said in truths[0].value:
        return Judgement(FAILS, answer, witness, "axis order turned: another axis counted")
    found = likely_cause(Case("shape_zyx", [one_said] * 3, [one_true] * 3)) if one_said > 1 else None
    cause = "slices counted as one page" if one_said == 1 else found
    if axis and one_said > 0.9 * one_true and one_said < 1.1 * one_true:
        cause = "another image size: the frame before, or after, cropping, padding or alignment"
    return Judgement(FAILS, answer, witness, cause or NO_SLIP)


def judge_files(row: Row, book: Book) -> Judgement:
    """A number of files: of all, or of the kind that holds the images."""
    truths = book.truths("n_files", row.volume)
    kinds = book.files_by_kind()
    said = FIELDS["n_files"].read(row.claim())
    if kinds and said is not None:
        witness, folders = truths[0].witness if truths else None, _folders(book)
        held = " + ".join([*(f"{number} {kind}" for kind, number in kinds.items()), *folders])
        main = max(kinds.values())
        if isinstance(row.value, dict):
            alike = all(kinds.get(kind) == number for kind, number in row.value.items())
            return Judgement(HOLDS if alike else FAILS, held, witness, None if alike else "another count of a kind")
        if said == main:
            return Judgement(HOLDS, held, witness, "the image files alone are counted")
        if said == sum(kinds.values()):
            return Judgement(HOLDS, held, witness, "without what lies in folders" if folders else None)
        cause = likely_cause(Case("n_files", said, main))
        return Judgement(FAILS, held, witness, cause or NO_SLIP)
    return judge_field(row, book)


def judge_isotropic(row: Row, book: Book) -> Judgement:
    """Whether the voxel is a cube within the tolerance of a voxel size."""
    sizes = book.voxel_size_zyx_nm(row.volume)
    said = _boolean(row.value)
    known = [size for size in sizes if size is not None]
    truths = book.truths("voxel_size_z_nm", row.volume)
    if said is None or len(known) < 3:
        return _answered(UNKNOWN, truths, "yes or no expected" if said is None else "the voxel size is not known")
    ratio = max(known) / min(known)
    true = ratio <= 1 + VOXEL_SIZE_TOLERANCE
    witness = truths[0].witness if truths else None
    if said == true:
        return Judgement(HOLDS, true, witness, None if true else f"anisotropy {ratio:.3g}")
    where = " × ".join(f"{size:.4g}" for size in known)
    cause = f"z copied from xy: the voxel is {where} nm (z, y, x)" if said else f"the voxel is {where} nm on every axis"
    return Judgement(FAILS, true, witness, cause)


def judge_content(row: Row, book: Book) -> Judgement:
    """Images, labels or fluorescence; with a type in the same words (`labels, uint64`) both must hold."""
    text = row.value if isinstance(row.value, str) else " ".join(map(str, row.value)) if row.value else ""
    if re.search(r"\bprojections?\b", text, re.IGNORECASE):
        truths = book.truths("shape_zyx", row.volume)
        deep = [one for one in truths if one.value[0] > 1]
        if deep:
            cause = "stacks taken for projections: " + ", ".join(
                f"{one.volume or 'it'} has {one.value[0]} planes" for one in deep
            )
            return Judgement(FAILS, {str(one.volume): one.value for one in truths}, deep[0].witness, cause)
    if re.search(r"\bvolumes?\b|\bstacks?\b", text, re.IGNORECASE):
        truths = book.truths("shape_zyx", row.volume)
        return _answered(HOLDS if truths and truths[0].value[0] > 1 else UNKNOWN, truths, None)
    parts = [part.strip() for part in re.split(r"[,;(]", text) if part.strip()]
    content = judge_field(with_value(row, "content", parts[0] if parts else row.value), book)
    if len(parts) > 1 and dtype_word(parts[1].rstrip(")")):
        of_type = judge_field(with_value(row, "dtype", parts[1].rstrip(")")), book)
        if content.verdict == HOLDS and of_type.verdict == FAILS:
            return of_type
    return content


def judge_dtype(row: Row, book: Book) -> Judgement:
    """One type, in anybody's words; several words for one type are a mix of vocabularies."""
    words = row.value if isinstance(row.value, list) else re.split(r"\s+(?:beside|and|or)\s+|[,;/]", str(row.value))
    words = [str(word).strip(" `'\"") for word in words if str(word).strip()]
    truths = book.truths("dtype", row.volume)
    if len(words) > 1:
        return mixed_words(words, _value_of(truths), truths[0].witness if truths else None)
    return judge_field(with_value(row, "dtype", words[0] if words else None), book)


def mixed_words(words: Sequence[str], true: Any = None, witness: str | None = None) -> Judgement:
    """Several words for types: one word a type is a vocabulary, two for one type are two vocabularies."""
    read = {word: dtype_word(word) for word in words}
    named = [name for name in read.values() if name]
    doubled = sorted({name for name in named if sum(1 for other in named if other == name) > 1})
    answer = true or (doubled[0] if doubled else named)
    if doubled or any(name and name != word for word, name in read.items()):
        pairs = ", ".join(f"{word} is {name}" for word, name in read.items() if name and word != name)
        return Judgement(
            FAILS, answer, witness or "the types as numpy names them", f"two vocabularies for one thing: {pairs}"
        )
    return Judgement(UNKNOWN, answer, witness, "several types: of which volume is not said")


def judge_bytes(row: Row, book: Book) -> Judgement:
    """Bytes of the files; of a box, of its voxels."""
    return judge_field(with_value(row, "source_bytes", row.value), book)


def _judge_size_as_bytes(row: Row, book: Book) -> Judgement | None:
    single = written(row.value)
    unit = single and one_unit(single.unit, row.unit)[0]
    return judge_bytes(row, book) if single is not None and bytes_per(unit) else None


def _judge_one_length(row: Row, true: list[float | None], witness: str | None) -> Judgement:
    """One number for three axes: it holds for a cube."""
    number = written(row.value)
    unit = one_unit(number.unit, row.unit)[0] if number else None
    said = to_nm(number.numbers[0], unit or "nm") if number and len(number.numbers) == 1 and number.numbers[0] else None
    if said is None or None in true:
        return Judgement(
            UNKNOWN, true, witness, why_unread(row.claim(unit=unit or "nm")) or f"no length in {row.value!r}"
        )
    if are_near([said] * 3, true):
        return Judgement(HOLDS, true, witness)
    return Judgement(FAILS, true, witness, _cause_of_voxel([said] * 3, true))


def cube_of(row: Row) -> Written | None:
    """One number for the three sides of a box; None for bytes."""
    found = written(row.value)
    is_bytes = found is not None and bytes_per(one_unit(found.unit, row.unit)[0]) is not None
    return found._replace(numbers=found.numbers * 3) if found and len(found.numbers) == 1 and not is_bytes else None


def _unit_mix(found: Written, unit: str, row: Row, book: Book, truths: list[Truth]) -> Judgement:
    """Lengths in a column of voxels."""
    sizes = book.voxel_size_zyx_nm(row.volume)
    lengths = [to_nm(number, unit) if number else None for number in found.numbers]
    cause = f"unit mix: {unit} where voxels are counted"
    if truths and None not in sizes and None not in lengths:
        extent = [n * size for n, size in zip(truths[0].value, sizes, strict=True) if size]
        is_extent = any(are_near(lengths, list(order), 2e-2) for order in permutations(extent))
        cause += "; the lengths are the extent" if is_extent else "; nor are they the extent"
    return _answered(FAILS, truths, cause)


def _cause_of_voxel(said: Sequence[float | None], true: Sequence[float | None]) -> str:
    factors = {round(a / b, 6) for a, b in zip(said, true, strict=True) if a and b}
    order = likely_cause(Case("voxel_size_z_nm", said[0], true[0], true, None, said))
    if order and order.startswith(("axis order", "z copied")):
        return order
    for axis, a, b in zip("zyx", said, true, strict=True):
        if not are_near([a], [b]):
            found = likely_cause(Case(f"voxel_size_{axis}_nm", a, b, true, None, said))
            if found:
                only = "" if len(factors) == 1 else f" along {axis}"
                return f"{found}{only}"
    return NO_SLIP


def _cause(row: Row, book: Book, said: Any, truth: Truth, slack: float) -> str:
    case = Case(
        field=row.field,
        said=said,
        true=truth.value,
        voxel_size_zyx_nm=book.voxel_size_zyx_nm(row.volume),
        shape_zyx=book.value("shape_zyx", row.volume),
        voxel_bytes=voxel_bytes(book.value("dtype", row.volume)),
        other_bytes=book.other_bytes(),
        slack=slack,
    )
    found = likely_cause(case) or NO_SLIP
    z = case.voxel_size_zyx_nm[0]
    if row.field == "technique" and said in ("TEM", "ssTEM") and z is not None and z <= 20:
        found += f"; no section for a TEM is as thin as {z:g} nm"
    factor = factor_between(said, truth.value)
    return f"{found} (factor {factor:.4g})" if factor and factor > 1 and row.field != "n_files" else found


def _answered(verdict: str, truths: Sequence[Truth], cause: str | None) -> Judgement:
    return Judgement(verdict, _value_of(truths), truths[0].witness if truths else None, cause)


def _value_of(truths: Sequence[Truth]) -> Any:
    if not truths:
        return None
    return truths[0].value if len(truths) == 1 else {str(one.volume): one.value for one in truths}


def _one_volumes_own(differing: Sequence[Truth], truths: Sequence[Truth]) -> str:
    right = [str(one.volume) for one in truths if one not in differing]
    return f"true of {', '.join(right)} only: one volume's figure taken for all"


def _in_other_words(row: Row, said: Any) -> str | None:
    is_word = (
        isinstance(row.value, str)
        and isinstance(said, str)
        and row.field in ("dtype", "technique", "organism", "licence")
    )
    return f"{row.value} is {said} in another vocabulary" if is_word and row.value.strip() != said else None


def _agree(field: str, true: Any, said: Any, slack: float) -> bool:
    if FIELDS[field].agree(true, said):
        return True
    return slack > 0 and abs(true - said) <= slack


def _slack_of(truth: Truth) -> float:
    slack = FIELDS[truth.claim.field].slack if truth.claim.field in FIELDS else None
    return slack(truth.claim) if slack else 0.0


def are_near(
    values: Sequence[float | None], others: Sequence[float | None], tolerance: float = VOXEL_SIZE_TOLERANCE
) -> bool:
    """Whether each number is the other's within a relative tolerance; an unknown one never is."""
    pairs = zip(values, others, strict=True)
    return all(a is not None and b is not None and math.isclose(a, b, rel_tol=tolerance) for a, b in pairs)


def _counts(row: Row, volumes: Sequence[str]) -> dict[str, int] | None:
    """The number said of each volume: one for all, a mapping, or a list in any order."""
    value = row.value
    if isinstance(value, dict):
        numbers = {str(key): FIELDS["n_files"].read(row.claim("n_files", one)) for key, one in value.items()}
        return {volume: numbers.get(volume) or 0 for volume in volumes}
    if isinstance(value, list) and len(value) == len(volumes) > 1:
        return {volume: int(number) for volume, number in zip(volumes, value, strict=True)}
    number = FIELDS["n_files"].read(row.claim("n_files"))
    return None if number is None else dict.fromkeys(volumes, number)


def _folders(book: Book) -> list[str]:
    found = next((claim.value for claim in book.claims if claim.field == "folders"), [])
    return [f"{str(name).strip('/')}/" for name in (found if isinstance(found, list) else [found])]


def _boolean(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    text = str(value).strip().casefold()
    if text in ("true", "yes", "1", "isotropic"):
        return True
    return False if text in ("false", "no", "0", "anisotropic") else None


def with_value(row: Row, field: str, value: Any) -> Row:
    """The same claim of another field and value."""
    return Row(row.dataset, row.volume, field, value, row.unit, row.said_by, row.order, row.scope)
