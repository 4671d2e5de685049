"""What a sentence of a record plainly says: voxel sizes, accelerating voltage, instrument.

Each pattern was seen in a real record. Two different readings in one text are a doubt, so neither is taken.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from em_assets.sources.archives.record import ArchiveWitness, Node, said

_NUMBER = r"(?<![\d.,])(\d{1,7}(?:\.\d{1,9})?)"
_LENGTH = r"(nm|nanomet(?:er|re)s?|[µμu]m|microns?|micromet(?:er|re)s?|Å|angstroms?|ångströms?)"
_PER = r"\s?(?:/|per|an?|each)\s?"
_XY = r"(?:xy|x\s?[/,-]\s?y|x and y)\b"

_LATERAL = re.compile(rf"{_NUMBER}\s?{_LENGTH}{_PER}(?:px|pix|pixels?|voxels?)\s+(?:in|along)\s+{_XY}", re.IGNORECASE)
_SECTION = re.compile(
    rf"{_NUMBER}\s?{_LENGTH}{_PER}(?:sections?|slices?)\b"
    rf"|(?:section|slice) thickness\s*(?:of|was|is|:|=)?\s*{_NUMBER}\s?{_LENGTH}(?![\w/])",
    re.IGNORECASE,
)
_VOLTAGE = re.compile(rf"{_NUMBER}\s?kV\b")
_MAKERS = r"FEI|Zeiss|ZEISS|Carl Zeiss|JEOL|Hitachi|TESCAN|Tescan|Thermo\s?Fisher(?: Scientific)?|TFS|Philips"
_INSTRUMENT = re.compile(rf"\b((?:{_MAKERS})\s(?!SEM\b|TEM\b)[A-Z][\w-]{{1,30}}(?:\s\d[\w-]{{0,10}})?)")

MOST_CHARACTERS = 20_000
"""What comes after is not searched."""


def witnesses_of_prose(node: Node, volume: str | None) -> Iterator[ArchiveWitness]:
    """What a text says, each with the words that say it as `raw`."""
    text = (node.text() or "")[:MOST_CHARACTERS]
    yield from _lengths(node, _LATERAL, text, ("voxel_size_y_nm", "voxel_size_x_nm"), volume)
    yield from _lengths(node, _SECTION, text, ("voxel_size_z_nm",), volume)
    voltages = {match[1]: match[0] for match in _VOLTAGE.finditer(text)}
    if len(voltages) == 1:
        number, raw = voltages.popitem()
        yield from said("accelerating_voltage_kv", replace(node, value=raw), float(number), "kV", volume=volume)
    instruments = {" ".join(match[1].split()): match[0] for match in _INSTRUMENT.finditer(text)}
    if len(instruments) == 1:
        name, raw = instruments.popitem()
        yield from said("instrument", replace(node, value=raw), name, volume=volume)


def _lengths(
    node: Node, pattern: re.Pattern[str], text: str, fields: tuple[str, ...], volume: str | None
) -> Iterator[ArchiveWitness]:
    found = {}
    for match in pattern.finditer(text):
        number, unit = (group for group in match.groups() if group is not None)
        found[(float(number), unit)] = match[0]
    if len(found) == 1:
        (length, unit), raw = found.popitem()
        for field in fields:
            yield from said(field, replace(node, value=raw), length, unit, volume=volume)
