"""What an archive declares against what is held: files, bytes, folders, and chunks by arithmetic.

A shorter holding is said and nothing is deleted: an archive's listing has left a file out before.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

from em_assets.evidence.fields import FIELDS
from em_assets.model import Claim, RawFile

DECLARING = ("archive", "publisher", "recorded")

COUNTED = ("n_files", "folders")
MEASURED = ("source_bytes",)
"""What is declared in bytes is rounded, and archives pack files anew: it is less certain than a count."""


def incompleteness(
    claims: Sequence[Claim],
    files: Sequence[RawFile],
    *,
    is_sample: bool = False,
    fields: Sequence[str] = COUNTED + MEASURED,
) -> list[str]:
    """What is declared and not held, in words; a sample's copies are smaller, so there the archive alone is asked.

    `n_files`, `source_bytes` (within its rounding) and `folders` of the whole dataset are compared, or some of them.
    """
    kinds = DECLARING[:1] if is_sample else DECLARING
    declared = [claim for claim in claims if claim.kind in kinds and claim.volume is None and claim.field in fields]
    held = [file for file in files if not file.path.split("/")[0].startswith("archive_")]
    found: list[str] = []
    for claim in declared:
        if claim.field == "n_files":
            found += _files(claim, held)
        elif claim.field == "source_bytes":
            found += _bytes(claim, held)
        elif claim.field == "folders":
            found += _folders(claim, held)
    return found


def n_chunks(shape: Sequence[int], chunks: Sequence[int]) -> int:
    """Chunks of one level by arithmetic."""
    return math.prod(math.ceil(size / chunk) for size, chunk in zip(shape, chunks, strict=True))


def missing_chunks(levels: Mapping[str, tuple[Sequence[int], Sequence[int]]], held: Mapping[str, int]) -> list[str]:
    """Levels that hold fewer chunk files than their shape over their chunk shape asks for.

    A format may leave out chunks of nothing but fill value, so this is a finding and no proof.
    """
    expected = {name: n_chunks(shape, chunks) for name, (shape, chunks) in levels.items()}
    return [
        f"{name}: {number} chunks by arithmetic, {held.get(name, 0)} held"
        for name, number in expected.items()
        if held.get(name, 0) < number
    ]


def _files(claim: Claim, held: Sequence[RawFile]) -> Iterator[str]:
    if isinstance(claim.value, dict):
        for suffix, number in claim.value.items():
            of_kind = sum(1 for file in held if file.path.casefold().endswith(f".{str(suffix).casefold()}"))
            if isinstance(number, int) and of_kind < number:
                yield f"{number} .{suffix} files declared, {of_kind} held ({claim.said_by})"
        return
    number = FIELDS["n_files"].read(claim)
    if number is not None and len(held) < number:
        yield f"{number} files declared, {len(held)} held ({claim.said_by})"


def _bytes(claim: Claim, held: Sequence[RawFile]) -> Iterator[str]:
    rule = FIELDS["source_bytes"]
    declared = rule.read(claim)
    if declared is None:
        return
    total = sum(file.size_bytes for file in held)
    slack = rule.slack(claim) if rule.slack else 0.0
    if total < declared - slack:
        yield f"{claim.raw} declared, {total} bytes held: {declared - total} fewer ({claim.said_by})"


def _folders(claim: Claim, held: Sequence[RawFile]) -> Iterator[str]:
    names = claim.value if isinstance(claim.value, list) else [claim.value]
    for name in names:
        folder = str(name).strip("/") + "/"
        if not any(file.path.startswith(folder) or f"/{folder}" in file.path for file in held):
            yield f"folder {folder} declared, nothing in it held ({claim.said_by})"
