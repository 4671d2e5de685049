"""How a claim about several datasets is judged: shares of techniques, organisms, isotropy, units, counts."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from em_assets.evidence.audit_fields import mixed_words
from em_assets.evidence.audit_rows import FAILS, HOLDS, UNKNOWN, Judgement, Row
from em_assets.evidence.fields import FIELDS, VOXEL_SIZE_TOLERANCE
from em_assets.evidence.quantities import written
from em_assets.evidence.truths import Book, shares
from em_assets.evidence.vocabulary import TECHNIQUE_TERMS, find_term

VOLUME_EM = ("FIB-SEM", "SBF-SEM", "ssTEM", "ssSEM", "TEM", "SEM")
"""What the field calls volume electron microscopy: series of slices, no tilted projections."""

TIFF_BASELINE = ("ImageWidth", "ImageLength", "BitsPerSample", "Compression", "StripOffsets", "StripByteCounts")
"""Every page of a TIFF file has these (TIFF 6.0, baseline)."""

SHARE_TOLERANCE = 0.006

Tags = Mapping[str, Iterable[str]] | None


def judge(row: Row, books: Mapping[str, Book], rows: Sequence[Row], tags: Tags) -> Judgement:
    """A claim about the registry as a whole, or one about a dataset whose field counts or names things in general."""
    judges = {
        "technique_shares": _technique_shares,
        "technique": _technique_shares,
        "n_organisms": _organisms,
        "organism": _organisms,
        "n_techniques": _n_techniques,
        "n_isotropic": _isotropic,
        "is_isotropic": _isotropic,
        "n_datasets": _n_datasets,
    }
    if row.field in judges:
        return judges[row.field](row, _scope(row, books, rows))
    if row.field in ("size_unit", "size", "shape_zyx", "source_bytes"):
        return _size_unit(row, books, rows)
    if row.field == "dtype":
        words = row.value if isinstance(row.value, list) else re.split(r"\s+(?:beside|and|or)\s+|[,;/]", str(row.value))
        return mixed_words([str(word).strip(" `'\"") for word in words if str(word).strip()])
    if row.field == "axis_order":
        return _axis_order(row, books)
    if row.field == "tag_categories":
        return _tag_categories(row, books)
    if row.field in ("n_categories_in_multiple_datasets", "count_basis", "counted", "counts"):
        return _multiple(row, tags)
    where = "the registry as a whole" if row.dataset is None else row.dataset
    return Judgement(UNKNOWN, cause=f"nobody here knows a field {row.field!r} of {where}")


def _scope(row: Row, books: Mapping[str, Book], rows: Sequence[Row]) -> dict[str, Book]:
    """The datasets that a claim counts: those it names; else as many as its total; else volume EM in public.

    What the package only has for those who ask for it by name is counted where a total says so: a claim that names none
    is about the catalog that `make demo` makes.
    """
    if row.scope:
        return {name: books[name] for name in row.scope}
    usual = {name: book for name, book in books.items() if book.dataset.demo} or books
    public = {name: book for name, book in usual.items() if "public" in book.dataset.origins}
    volume_em = {name: book for name, book in public.items() if book.value("technique") in VOLUME_EM}
    described = {one.dataset for one in rows if one.dataset is not None and one.said_by == row.said_by}
    named = {name: book for name, book in books.items() if name in described}
    total = _total(row.value)
    for scope in (volume_em, public, usual, books, named):
        if total is not None and len(scope) == total:
            return dict(scope)
    return volume_em or dict(public) or dict(books)


def _technique_shares(row: Row, books: Mapping[str, Book]) -> Judgement:
    by_name = {name: str(word) for name, book in books.items() if (word := book.value("technique"))}
    true = shares(by_name)
    total = sum(true.values())
    witness = _listed(by_name)
    said = _shares_said(row.value)
    if not said or not total:
        return Judgement(UNKNOWN, true, witness, f"no shares of techniques in {row.value!r}")
    is_share = all(number <= 1 for number in said.values()) and sum(said.values()) <= 1.01 and total > 1
    is_percent = not is_share and sum(said.values()) > total + 1e-9
    divisor = total if is_share else total / 100 if is_percent else 1
    # A claim may speak of some techniques only; those that it names must be right, and none may be made up.
    wrong = [
        word
        for word, number in said.items()
        if abs(number - true.get(word, 0) / (divisor or 1))
        > (1e-9 if not is_share and not is_percent else SHARE_TOLERANCE * (100 if is_percent else 1))
    ]
    if not wrong:
        return Judgement(HOLDS, true, witness)
    none = [word for word in wrong if word not in true]
    causes = [f"{word} is said and no dataset here is {word}" for word in none]
    causes += [f"{word} are {true[word]} of {total}" for word in wrong if word in true]
    return Judgement(FAILS, true, witness, "; ".join(causes))


def _organisms(row: Row, books: Mapping[str, Book]) -> Judgement:
    by_name = {name: str(word) for name, book in books.items() if (word := book.value("organism"))}
    true = shares(by_name)
    witness = _listed(by_name)
    said = len(row.value) if isinstance(row.value, list | dict) else FIELDS["n_files"].read(row.claim("n_files"))
    if said is None:
        return Judgement(UNKNOWN, len(true), witness, f"no number in {row.value!r}")
    if said == len(true):
        return Judgement(HOLDS, len(true), witness)
    twice = [f"{word} {number} times" for word, number in true.items() if number > 1]
    if said == len(by_name) and twice:
        return Judgement(FAILS, len(true), witness, f"datasets counted, not organisms: {', '.join(twice)}")
    return Judgement(FAILS, len(true), witness, "another number of them: see the witness")


def _n_techniques(row: Row, books: Mapping[str, Book]) -> Judgement:
    by_name = {name: str(word) for name, book in books.items() if (word := book.value("technique"))}
    said, true = FIELDS["n_files"].read(row.claim("n_files")), len(set(by_name.values()))
    cause = None if said == true else "another number of them: see the witness"
    return Judgement(HOLDS if said == true else FAILS, true, _listed(by_name), cause)


def _isotropic(row: Row, books: Mapping[str, Book]) -> Judgement:
    sizes = {name: book.voxel_size_zyx_nm() for name, book in books.items()}
    ratios = {
        name: max(known) / min(known) for name, size in sizes.items() if len(known := [s for s in size if s]) == 3
    }
    cubes = [name for name, ratio in ratios.items() if ratio <= 1 + VOXEL_SIZE_TOLERANCE]
    others = {name: f"{ratio:.3g}" for name, ratio in ratios.items() if name not in cubes}
    true, witness = f"{len(cubes)} of {len(ratios)}", f"isotropic: {', '.join(cubes)}; anisotropy: {_listed(others)}"
    if isinstance(row.value, list) and all(isinstance(name, str) for name in row.value) and row.value:
        strange = sorted(set(row.value) - set(cubes))
        cause = f"z copied from xy: {', '.join(strange)} are anisotropic" if strange else None
        return Judgement(HOLDS if set(row.value) == set(cubes) else FAILS, cubes, witness, cause)
    found = written(row.value)
    number = found.numbers[0] if found else None
    if number is None:
        return Judgement(UNKNOWN, true, witness, f"no number in {row.value!r}")
    unit = (found.unit if found else None) or row.unit
    share = number if 0 < number < 1 else number / 100 if unit == "%" or number > len(ratios) else None
    is_right = number == len(cubes) if share is None else abs(share - len(cubes) / len(ratios)) <= SHARE_TOLERANCE
    total = _total(row.value)
    if is_right and (total is None or total == len(ratios)):
        return Judgement(HOLDS, true, witness)
    said = number if share is None else share * len(ratios)
    cause = f"z copied from xy in one that is counted: {_listed(others)} are anisotropic"
    return Judgement(FAILS, true, witness, cause if said > len(cubes) and others else "another number of them")


def _n_datasets(row: Row, books: Mapping[str, Book]) -> Judgement:
    said = FIELDS["n_files"].read(row.claim("n_files"))
    if said == len(books):
        return Judgement(HOLDS, len(books), "the registry")
    return Judgement(UNKNOWN, len(books), "the registry", "which datasets are counted is not said")


def _size_unit(row: Row, books: Mapping[str, Book], rows: Sequence[Row]) -> Judgement:
    """A column has one unit; `MB` that are MiB are found by the figures beside it."""
    value = row.value
    texts = (
        [str(one) for one in value.values()]
        if isinstance(value, dict)
        else [str(value)]
        if not isinstance(value, list)
        else [str(v) for v in value]
    )
    text = " ".join([*texts, row.unit or ""]).casefold()
    counts = bool(re.search(r"voxel|pixel|\bpx\b", text))
    lengths = bool(re.search(r"nanomet|\bnm\b|µm|\bum\b|micromet", text))
    if counts and lengths:
        return Judgement(
            FAILS,
            "voxels, and nanometres in a column of their own",
            "the catalog: shape in voxels, extent in nanometres",
            "unit mix: voxels beside nanometres in one column",
        )
    if re.search(r"\bbytes?\b", text) and not re.search(r"\bm(i)?b\b", text):
        return Judgement(HOLDS, "bytes", "the catalog: source_bytes")
    if re.search(r"\b[kmgt]i?b\b", text):
        if re.search(r"\b[kmgt]ib\b", text) and not re.search(r"\b[kmgt]b\b", text):
            return Judgement(HOLDS, "bytes", "the catalog: source_bytes", "binary units, and so labelled")
        shown = _binary_figures(row, books, rows)
        cause = f"MiB written as MB: {shown}" if shown else "no figure beside it shows whether 1000 or 1024 is meant"
        return Judgement(FAILS if shown else UNKNOWN, "bytes", "the catalog: source_bytes", cause)
    if counts or lengths:
        return Judgement(HOLDS, "voxels" if counts else "nm", "the catalog: one unit a column")
    return Judgement(UNKNOWN, "bytes", "the catalog: source_bytes", f"no unit in {value!r}")


def _binary_figures(row: Row, books: Mapping[str, Book], rows: Sequence[Row]) -> str:
    """Figures of the same source that come out in MiB."""
    from em_assets.evidence.audit_fields import judge_bytes

    found = []
    for one in rows:
        if (
            one.said_by == row.said_by
            and one.dataset is not None
            and one.dataset in books
            and one.field in ("source_bytes", "size")
            and one is not row
        ):
            judgement = judge_bytes(one, books[one.dataset])
            if judgement.cause and "MiB written as MB" in judgement.cause:
                found.append(f"{one.dataset} {one.value}")
    return ", ".join(found)


def _axis_order(row: Row, books: Mapping[str, Book]) -> Judgement:
    letters = "".join(re.findall(r"[zyx]", str(row.value).casefold()))
    cause = None if letters == "zyx" else "axis order turned"
    return Judgement(HOLDS if letters == "zyx" else FAILS, "zyx", "em_assets.formats (axes are turned once)", cause)


def _tag_categories(row: Row, books: Mapping[str, Book]) -> Judgement:
    """The tags that a TIFF page must have are missing where only the names of containers were kept."""
    formats = {book.dataset.format for book in books.values()}
    names = row.value if isinstance(row.value, list) else re.split(r"[,;]|\band\b", str(row.value))
    bare = {re.sub(r"[^a-z]", "", str(name).casefold()) for name in names}
    if "tiff" not in formats:
        return Judgement(UNKNOWN, cause="no dataset here is TIFF")
    missing = [name for name in TIFF_BASELINE if not any(name.casefold() in one for one in bare)]
    true, witness = "every page field and tag", "TIFF 6.0, baseline: the fields that every page has"
    if not missing or "every" in str(row.value).casefold():
        return Judgement(HOLDS, true, witness)
    return Judgement(
        FAILS,
        true,
        witness,
        f"containers listed for their tags (a name test that never matches): {', '.join(missing)} are missing",
    )


def _multiple(row: Row, tags: Tags) -> Judgement:
    """Tag names in several datasets: slices of one dataset are one dataset."""
    text = str(row.value).casefold()
    recorded = _recorded("n_categories_in_multiple_datasets", row.document)
    counted = _in_several(tags) if tags else None
    true = recorded.get("value") if recorded else counted
    witness = str(recorded.get("at")) if recorded else "the catalog's tags"
    number = FIELDS["n_files"].read(row.claim("n_files")) if not isinstance(row.value, dict) else None
    if number is None:
        if re.search(r"\bfiles?\b|\bslices?\b", text) and not re.search(r"not files|datasets", text):
            return Judgement(
                FAILS, "count datasets", witness, "files counted, not datasets: the slices of one dataset are one"
            )
        if "dataset" in text and "file" not in text:
            return Judgement(HOLDS, "count datasets", witness)
        return Judgement(UNKNOWN, true, witness, f"no number in {row.value!r}")
    if true is not None and number == true:
        return Judgement(HOLDS, number, witness)
    if recorded and number == recorded.get("of_files"):
        return Judgement(FAILS, true, witness, "files counted, not datasets: the slices of one dataset are one")
    if true is None:
        return Judgement(UNKNOWN, None, None, "counting names over datasets needs their tags: build the catalog first")
    cause = "more than any count over datasets gives: files counted, not datasets" if number > true else "another count"
    return Judgement(FAILS, true, witness, cause)


def _in_several(tags: Mapping[str, Iterable[str]]) -> int:
    seen: dict[str, int] = {}
    for names in tags.values():
        for name in set(names):
            seen[name] = seen.get(name, 0) + 1
    return sum(1 for number in seen.values() if number > 1)


def _recorded(field: str, document: str) -> dict[str, Any]:
    """What earlier looks recorded of the document that a claim names; no rule, a table."""
    text = (Path(__file__).parent / "recorded.toml").read_text(encoding="utf-8")
    rows = tomllib.loads(text).get("recorded", [])
    return next((row for row in rows if row["field"] == field and row["document"] in document), {})


def _shares_said(value: Any) -> dict[str, float]:
    """Technique → number, from a mapping or a text like `FIB-SEM 60 %, SBF 20 %, TEM 20 %`."""
    if isinstance(value, dict):
        pairs = [(str(word), _number(number)) for word, number in value.items()]
    elif isinstance(value, list):
        counted = [term.word for word in value if (term := find_term(str(word), TECHNIQUE_TERMS))]
        return {word: float(counted.count(word)) for word in counted}
    else:
        found = re.findall(r"([^\d,;:=]*[A-Za-z][^\d,;:=]*)[:=]?\s*(\d+(?:\.\d+)?)\s*%?", str(value))
        pairs = [(word.strip(), float(number)) for word, number in found]
    read = [(find_term(word, TECHNIQUE_TERMS), word, number) for word, number in pairs]
    said: dict[str, float] = {}
    for term, word, number in read:
        if number is not None:
            name = term.word if term else word
            said[name] = said.get(name, 0.0) + number
    return said


def _number(value: Any) -> float | None:
    found = written(value)
    return found.numbers[0] if found and len(found.numbers) == 1 else None


def _total(value: Any) -> int | None:
    """The `5` of `4 of 5`, `4/5` or [4, 5]."""
    if isinstance(value, list) and len(value) == 2 and all(isinstance(number, int) for number in value):
        return int(value[1])
    match = re.search(r"\d\s*(?:of|/|out of)\s*(\d+)", str(value))
    return int(match[1]) if match else None


def _listed(by_name: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in by_name.items())
