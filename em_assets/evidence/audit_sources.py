"""How a claim about a dataset's source is judged: its storage order, cut-out, chunks, name and address."""

import math
import re
from collections.abc import Sequence
from typing import Any

from em_assets.evidence.audit_fields import NO_SLIP, are_near, with_value
from em_assets.evidence.audit_rows import FAILS, HOLDS, UNKNOWN, Judgement, Row
from em_assets.evidence.causes import Case, factor_between, likely_cause
from em_assets.evidence.fields import FIELDS
from em_assets.evidence.quantities import in_zyx, triple, written
from em_assets.evidence.truths import Book, voxel_bytes

WEB_PAGE_BYTES = 4096
"""Error pages of object stores are about this small."""

SMALL_CHUNK = "as small as a web page (an error's answer), or a chunk of hardly anything: one size alone does not tell"
WEB_PAGES = "very likely a web page (an error's answer) saved as each chunk: all of one small size [?]"


def judge_axis_order(row: Row, book: Book) -> Judgement:
    """Arrays here are z, y, x, whatever order a format stores them in: it is turned once, where the format is read."""
    text = str(row.value if not isinstance(row.value, list) else "".join(map(str, row.value))).casefold()
    letters = "".join(
        re.findall(r"[zyxc]", re.sub(r"chann\w*", "c", re.sub(r"stored|listed|order|and|axes|as", " ", text)))
    )
    witness = f"em_assets.formats.{book.dataset.format or '*'} (axes are turned once, where the format is read)"
    if letters == "zyx":
        return Judgement(HOLDS, "zyx", witness)
    if set(letters) <= set("zyxc") and len(letters) >= 3:
        cause = "axis order turned: the source's storage order kept" if "xyz" in letters else "axis order turned"
        if "c" in letters:
            cause += ", with a channel axis that a volume has not"
        if "zyx" in letters and "xyz" in letters:
            cause += ": listed in one order and stored in the other"
        return Judgement(FAILS, "zyx", witness, cause)
    return Judgement(UNKNOWN, "zyx", witness, f"no order of axes in {row.value!r}")


def judge_start(row: Row, book: Book) -> Judgement:
    """Where a cut-out begins: fixed, or drawn by the seed and drawn again while the box is blank."""
    source = next((source for source in book.dataset.sources if source.kind == "cutout"), None)
    if source is None:
        return Judgement(UNKNOWN, cause=f"{book.dataset.name} is fetched whole: no box is cut out of it")
    held = next((claim.value for claim in book.claims if claim.field == "crop_start_zyx"), None)
    fixed = list(source.start_zyx) if source.start_zyx else held if isinstance(held, list) else None
    true = fixed or f"drawn by seed {source.seed}, and again while the box is blank"
    witness = f"{book.dataset.name}.toml (source)"
    found = triple(row.value)
    if found is not None:
        said = in_zyx(found.numbers, found.order or row.order or "zyx")
        if fixed:
            return Judgement(
                HOLDS if said == list(fixed) else FAILS, true, witness, None if said == list(fixed) else NO_SLIP
            )
        blank = next((one for one in book.claims if one.field == "blank_start_zyx" and one.value == said), None)
        if blank is not None:
            cause = "a blank box taken for data: it lies outside the tissue, all zeros"
            return Judgement(FAILS, true, f"{blank.said_by} ({blank.locator})", cause)
        return Judgement(UNKNOWN, true, witness, "the start is the seed's; the store says which one was drawn")
    text = str(row.value).casefold()
    if "seed" in text and not re.search(r"unseeded|no seed|without (a )?seed|not seeded", text):
        return Judgement(HOLDS, true, witness)
    if "random" in text or "unseeded" in text:
        return Judgement(
            FAILS, true, witness, "unseeded: nobody can draw the same box again, nor tell that it is not blank"
        )
    return Judgement(UNKNOWN, true, witness, f"no place in {row.value!r}")


def judge_seed(row: Row, book: Book) -> Judgement:
    """The seed that draws a cut-out's start."""
    source = next((source for source in book.dataset.sources if source.kind == "cutout"), None)
    if source is None:
        return Judgement(UNKNOWN, cause=f"{book.dataset.name} is fetched whole: nothing is drawn")
    said = FIELDS["n_files"].read(row.claim())
    return Judgement(
        HOLDS if said == source.seed else FAILS,
        source.seed,
        f"{book.dataset.name}.toml (source.seed)",
        None if said == source.seed else "another draw, or none",
    )


def judge_chunks(row: Row, book: Book) -> Judgement:
    """A number of chunks, by arithmetic from shape and chunk shape over all levels; or a text that gives bytes too."""
    both = re.search(r"(?<!\d)(\d+)\D*?chunks?\D*?(\d+)\s*bytes?", str(row.value), re.IGNORECASE)
    if both:
        judged = judge_chunk_bytes(with_value(row, "chunk_bytes", int(both[2])), book)
        is_page = int(both[1]) > 1 and judged.cause == SMALL_CHUNK
        return judged._replace(verdict=FAILS, cause=WEB_PAGES) if is_page else judged
    shape, chunks, levels = book.value("shape_zyx", row.volume), _chunk_shape(book), book.value("source_n_levels")
    said = FIELDS["n_files"].read(row.claim())
    if shape is None or chunks is None or said is None:
        return Judgement(UNKNOWN, cause="shape and chunk shape of the source are needed to count its chunks")
    finest = math.prod(math.ceil(size / chunk) for size, chunk in zip(shape, chunks, strict=True))
    known = [claim for claim in book.claims if claim.field == "source_n_chunks"]
    total = known[0].value if known else _all_levels(shape, chunks, levels or 1)
    witness = "shape over chunk shape, by arithmetic"
    if said in (total, finest):
        return Judgement(HOLDS, total, witness, "of the finest level" if said == finest != total else None)
    files = book.value("n_files")
    cause = "files counted, not chunks" if said == files else likely_cause(Case("n_files", said, total))
    return Judgement(
        FAILS,
        total,
        witness,
        f"{cause}; very likely web pages or other files saved as chunks [?]" if said < finest / 10 else cause,
    )


def judge_chunk_bytes(row: Row, book: Book) -> Judgement:
    """Bytes of one stored chunk: compression makes it smaller than its voxels, though not to a few hundred bytes."""
    chunks, size = _chunk_shape(book), voxel_bytes(book.value("dtype"))
    said = FIELDS["source_bytes"].read(row.claim("source_bytes"))
    if chunks is None or size is None or said is None:
        return Judgement(UNKNOWN, cause="chunk shape and type of the source are needed")
    full = math.prod(chunks) * size
    witness = f"{' × '.join(map(str, chunks))} voxels of {size} bytes"
    if said <= WEB_PAGE_BYTES and said < full / 50:
        return Judgement(UNKNOWN, full, witness, SMALL_CHUNK)
    if said > full * 1.05:
        return Judgement(FAILS, full, witness, "more than the voxels of a chunk: another chunk shape or type")
    return Judgement(
        HOLDS if said == full else UNKNOWN, full, witness, None if said == full else "depends on the compression"
    )


def judge_identity(row: Row, book: Book) -> Judgement:
    """Which dataset is meant: every word of the claim is in this one's name, title or addresses."""
    dataset = book.dataset
    addresses = [source.url for source in dataset.sources] + [url for s in dataset.sources for url in s.fallback_urls]
    witness = f"{dataset.name}.toml (source.url)"
    said = str(row.value).strip()
    scheme = said.casefold().removesuffix("://")
    schemes = sorted({url.split("://", 1)[0] for url in addresses if "://" in url})
    if scheme in ("s3", "gs", "gcs", "ftp", "http", "https", "web"):
        right = {"gcs": "gs", "http": "https", "web": "https"}.get(scheme, scheme) in schemes
        return Judgement(HOLDS if right else FAILS, schemes, witness, None if right else "another way to the data")
    if re.search(r"\d\D*chunks?\b", said, re.IGNORECASE):
        return judge_chunks(row, book)
    known = _words(" ".join([dataset.name, dataset.title, *addresses, *dataset.links]))
    words = _words(said)
    true = dataset.name
    if not words:
        return Judgement(UNKNOWN, true, witness, f"no name in {row.value!r}")
    if words <= known:
        return Judgement(HOLDS, true, witness)
    strange = ", ".join(sorted(words - known))
    if row.field == "title":
        return Judgement(UNKNOWN, dataset.title, witness, f"words of no title here: {strange}")
    return Judgement(FAILS, true, witness, f"another dataset: {strange} is not this one")


def judge_as_said(row: Row, book: Book) -> Judgement:
    """A field of no rule: the same words or numbers as somebody said here, or not."""
    claims = [claim for claim in book.claims if claim.field == row.field and row.volume in (None, claim.volume)]
    claims.sort(key=lambda claim: (_SAID_ORDER.index(claim.kind), claim.said_by))
    best = claims[0]
    witness = f"{best.said_by} ({best.locator})"
    numbers = written(row.value), written(best.value)
    if numbers[0] and numbers[1]:
        same = len(numbers[0].numbers) == len(numbers[1].numbers) and are_near(numbers[0].numbers, numbers[1].numbers)
    else:
        same = _letters(row.value) == _letters(best.value)
    factor = factor_between(row.value, best.value)
    cause = None if same else f"{NO_SLIP} (factor {factor:.4g})" if factor else NO_SLIP
    return Judgement(HOLDS if same else FAILS, best.value, witness, cause)


_SAID_ORDER = ("recorded", "file", "derived", "archive", "publisher")


def _chunk_shape(book: Book) -> list[int] | None:
    found = next((claim for claim in book.claims if claim.field == "source_chunks"), None)
    return FIELDS["shape_zyx"].read(found.model_copy(update={"unit": None})) if found is not None else None


def _all_levels(shape: Sequence[int], chunks: Sequence[int], levels: int) -> int:
    """Each level half the one before, rounded up, down to one chunk."""
    total, size = 0, list(shape)
    for _ in range(levels):
        total += math.prod(math.ceil(n / chunk) for n, chunk in zip(size, chunks, strict=True))
        size = [math.ceil(n / 2) for n in size]
    return total


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"[a-z0-9]+", text.casefold()) if len(word) > 1 or word.isdigit()}


def _letters(value: Any) -> str:
    return "".join(letter for letter in str(value).casefold() if letter.isalnum())
