"""OME-Zarr, and zarr without it, by zarr-python."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from em_assets.independent.voxels import Voxels, items


@contextmanager
def open_voxels(path: str) -> Iterator[list[Voxels]]:
    """The images of a tree, or its arrays where it has none: every item of each, sorted by their paths."""
    import zarr

    node = zarr.open(path, mode="r")
    arrays = [("", node, None)] if isinstance(node, zarr.Array) else _images(node) or _arrays(node)
    yield [
        voxels
        for _, array, axes in sorted(arrays, key=lambda item: item[0])
        for voxels in items(array, axes or _axes_of(array))
    ]


def _images(group: Any) -> list[tuple[str, Any, Sequence[str] | None]]:
    """The finest array of each outermost image, with the names of its axes."""
    import zarr

    attributes = group.attrs.asdict()
    multiscales = attributes.get("ome", attributes).get("multiscales")
    if multiscales:
        array = group[multiscales[0]["datasets"][0]["path"]]
        axes = multiscales[0].get("axes") or "tczyx"[-array.ndim :]  # before 0.3 nobody wrote them
        return [(group.path, array, [axis if isinstance(axis, str) else axis["name"] for axis in axes])]
    below = (member for _, member in group.members())
    return [image for member in below if isinstance(member, zarr.Group) for image in _images(member)]


def _arrays(group: Any) -> list[tuple[str, Any, Sequence[str] | None]]:
    import zarr

    members = group.members(max_depth=None)
    return [(path, member, None) for path, member in members if isinstance(member, zarr.Array)]


def _axes_of(array: Any) -> Sequence[str]:
    """Axes of a bare array: as it names them, else z, y, x; the axes of length 1 around them are nobody's."""
    named = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    if named and {"y", "x"} <= {str(name).lower() for name in named}:
        return [str(name) for name in named]
    spatial = "zyx"[-array.ndim :]
    leading = next((axis for axis, size in enumerate(array.shape) if size > 1), array.ndim)
    before = min(leading, array.ndim - len(spatial))
    return ["?"] * before + list(spatial) + ["?"] * (array.ndim - before - len(spatial))
