"""Where to: a dataset, or the catalog, written down as others expect it. One module a layout, one line in `LAYOUTS`.

A layout is a module with these names::

    TAKES                              "one": a dataset at a time; "many": a selection of them, all by default
    export(held, draft, options)       write below the empty folder `draft`; what is refused, and what is worth saying
    describe_tree(tree, name)          where it can be read again: the TOML file that makes a dataset of such a tree

An export never half exists: it is written beside and published whole (`publishing`), one entry (a folder or file on top
of `draft`) after the other. The same call again changes nothing. A layout puts no clock into what it writes. What it
cannot carry it refuses with the reason instead of bending it; where it refuses all, it leaves `draft` empty.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, cast

from em_assets.errors import EvidenceError, UsageError

if TYPE_CHECKING:
    from em_assets.layouts.held import Held
    from em_assets.layouts.interface import Exported, Imported, ImportingLayout, Layout, Options
    from em_assets.settings import Settings
    from em_assets.volumes.folders import Folder

LAYOUTS: Mapping[str, str] = {
    "citation": "em_assets.layouts.citation",
    "croissant": "em_assets.layouts.croissant",
    "cryoet": "em_assets.layouts.cryoet",
    "ro-crate": "em_assets.layouts.ro_crate",
    "visor": "em_assets.layouts.visor",
    "visor-2025": "em_assets.layouts.visor_2025",
}
"""Name of a layout → its module, imported when it is asked for."""


def layout(name: str) -> "Layout":
    """The layout of that name.

    Raises
    ------
    UsageError
        There is none; the message lists those that there are.
    """
    if name not in LAYOUTS:
        raise UsageError(f"layout {name!r}: one of {', '.join(LAYOUTS)} expected")
    return cast("Layout", import_module(LAYOUTS[name]))


def export(
    names: Sequence[str], settings: "Settings", layout_name: str, dest: "Folder", options: "Options | None" = None
) -> "list[Exported]":
    """Write datasets below `dest` in a layout: one export each, or one of all where the layout is about a selection.

    Parameters
    ----------
    names
        Of registered datasets that are held; a layout of many takes all that are held where none is named.
    dest
        A folder, or a place in a bucket; what others put there stays.

    Raises
    ------
    UsageError
        No such layout, none of its datasets named, or `dest` holds something else under one of the export's names.
    NotBuiltError
        A dataset is not held.
    EvidenceError
        The options demand a licence and nobody says it, or the layout demands a value that nobody witnessed.
    """
    from em_assets.layouts.interface import Options
    from em_assets.layouts.publishing import publish_export

    chosen, given = layout(layout_name), options or Options()
    found = _held(names, settings, is_all_by_default=chosen.TAKES == "many")
    if given.require_licence:
        _check_licences(found)
    groups = [tuple(found)] if chosen.TAKES == "many" else [(one,) for one in found]
    return [publish_export(layout_name, chosen, group, dest, given) for group in groups]


def describe_tree(tree: str, layout_name: str, name: str) -> "Imported":
    """The TOML file that makes a dataset called `name` of a tree in a layout, and what of the tree is left out.

    Raises
    ------
    UsageError
        No such layout, or one that cannot be read again.
    FormatError
        The tree is not in this layout, or contradicts itself; SourceError where it cannot be had.
    """
    chosen = layout(layout_name)
    if not can_import(layout_name):
        known = ", ".join(each for each in LAYOUTS if can_import(each))
        raise UsageError(f"layout {layout_name!r} holds no voxels to import; {known} do")
    return cast("ImportingLayout", chosen).describe_tree(tree, name)


def can_import(name: str) -> bool:
    """Whether trees of this layout can become datasets."""
    return hasattr(layout(name), "describe_tree")


def _held(names: Sequence[str], settings: "Settings", *, is_all_by_default: bool) -> "list[Held]":
    from em_assets import datasets
    from em_assets.catalog.holdings import is_held
    from em_assets.layouts.held import held

    known = datasets.load(settings)
    if not names and not is_all_by_default:
        raise UsageError("at least one dataset expected, found none")
    chosen = [datasets.get(name, settings) for name in dict.fromkeys(names)]
    return [held(one, settings) for one in chosen or [d for d in known.values() if is_held(d.name, settings)]]


def _check_licences(found: "Sequence[Held]") -> None:
    unknown = [f"{one.name}/{row.volume}" for one in found for row in one.records if row.licence is None]
    if unknown:
        raise EvidenceError(
            f"a licence is required and nobody says one of {', '.join(unknown)}: ask its publisher and add it to the "
            'dataset\'s TOML as [[says]], field = "licence"'
        )
