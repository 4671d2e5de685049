"""Voxel sizes that makers write into tags of their own, where the resolution only says how large a screen shows it."""

import re
from collections.abc import Mapping
from configparser import ConfigParser, Error
from typing import Any

from em_assets.model import Witness

_FEI_TAGS = ("FEI_HELIOS", "FEI_SFEG")
_FEI_SECTIONS = ("Scan", "EScan", "IScan")
_FEI_AXES = (("x", "PixelWidth"), ("y", "PixelHeight"))

_GATAN_AXES = (("x", "Tag 65003", "Tag 65009"), ("y", "Tag 65004", "Tag 65010"))
"""Unit and size of a pixel, as Digital Micrograph exports them; the third axis is that of a stack, often of time."""


_ZEISS_TAG, _ZEISS_KEY = "CZ_SEM", "AP_IMAGE_PIXEL_SIZE"
_ZEISS_SIZE = re.compile(rf"^{_ZEISS_KEY}[ \t]*\n[^=\n]*=[ \t]*([\d.eE+-]+)[ \t]+(\S+)[ \t]*$", re.MULTILINE)
"""`AP_PIXEL_SIZE`, which older files have alone, is that of a screen 1024 pixels wide."""


def maker_sizes(page: Mapping[str, Any]) -> list[Witness]:
    """What an FEI or Zeiss microscope or Digital Micrograph says of its pixels; nothing for any other file."""
    return _fei_sizes(page) or _zeiss_sizes(page) or _gatan_sizes(page)


def _fei_sizes(page: Mapping[str, Any]) -> list[Witness]:
    """Metres, in the first section of a scan that has them."""
    tag = next((name for name in _FEI_TAGS if isinstance(page.get(name), str)), None)
    if tag is None:
        return []
    said = ConfigParser(interpolation=None, strict=False)
    said.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        said.read_string(page[tag])
    except Error:  # a damaged text says nothing; it is kept among the tags as it is
        return []
    for section in _FEI_SECTIONS:
        found = [
            Witness(f"voxel_size_{axis}_nm", size, "m", f"page 0: {tag} [{section}] {key}", said[section][key])
            for axis, key in _FEI_AXES
            if said.has_option(section, key) and (size := _number(said[section][key])) is not None
        ]
        if found:
            return found
    return []


def _zeiss_sizes(page: Mapping[str, Any]) -> list[Witness]:
    """SmartSEM's lines: a key, and below it its words, a number and a unit."""
    text = page.get(_ZEISS_TAG)
    found = _ZEISS_SIZE.search("\n".join(text.splitlines())) if isinstance(text, str) else None
    size = None if found is None else _number(found[1])
    if found is None or size is None:
        return []
    locator, raw = f"page 0: {_ZEISS_TAG} {_ZEISS_KEY}", f"{found[1]} {found[2]}"
    return [Witness(f"voxel_size_{axis}_nm", size, found[2], locator, raw) for axis in "xy"]


def _gatan_sizes(page: Mapping[str, Any]) -> list[Witness]:
    return [
        Witness(f"voxel_size_{axis}_nm", size, page[unit], f"page 0: {scale}", str(page[scale]))
        for axis, unit, scale in _GATAN_AXES
        if isinstance(page.get(unit), str) and (size := _number(page.get(scale))) is not None
    ]


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
