"""How VISoR names the items of its 5-D arrays: schema 2024.11.0 (t, c, z, y, x) and 2025.6.1 (vs, ch, z, y, x)."""

from collections.abc import Sequence
from typing import Any

from em_assets.errors import FormatError
from em_assets.formats.ngff_metadata import Multiscale, image_attributes


def is_visor(image: Multiscale, attributes: dict[str, Any]) -> bool:
    """Whether an image is VISoR's: an axis of type `visor…`, or the attribute `visor`."""
    return "visor" in attributes or any((axis.type or "").startswith("visor") for axis in image.axes)


def item_names(
    where: str, image: Multiscale, attributes: dict[str, Any], extents: Sequence[int]
) -> tuple[list[str], ...]:
    """Names along the first two axes: of the stacks (or regions), and of the channels.

    Raises
    ------
    FormatError
        There is not one name for each item.
    """
    visor = attributes.get("visor")
    if isinstance(visor, dict):  # 2025.6.1
        stacks = _indexed(visor.get("visor_stacks"), "label")
        channels = _indexed(visor.get("channels"), "wavelength")
    else:
        stacks = [name for name, _ in image.items]
        channels = channel_labels(attributes)
    for kind, names, extent in zip(("stacks", "channels"), (stacks, channels), extents, strict=True):
        if len(names) != extent or len(set(names)) != extent:
            raise FormatError(f"{where}: one name for each of {extent} {kind} expected, found {names!r:.200}")
    return stacks, channels


def channel_labels(attributes: dict[str, Any]) -> list[str]:
    """Labels of `omero.channels`, as text, "" for a channel without one; else VISoR's wavelengths (2025.6.1)."""
    omero = image_attributes(attributes)[1].get("omero")
    channels = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(channels, list):
        visor = attributes.get("visor")
        return _indexed(visor.get("channels"), "wavelength") if isinstance(visor, dict) else []
    labels = (channel.get("label") if isinstance(channel, dict) else None for channel in channels)
    return ["" if label is None else str(label) for label in labels]


def _indexed(entries: Any, key: str) -> list[str]:
    """The named values in the order of the entries' `index`, where they have one."""
    known = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    indices = [entry.get("index", position) for position, entry in enumerate(known)]
    if sorted(map(str, indices)) != sorted(map(str, range(len(known)))):
        return []
    return [
        str(entry.get(key, ""))
        for _, entry in sorted(zip(map(str, indices), known, strict=True), key=lambda p: int(p[0]))
    ]
