"""What a layout is given and what it says: held datasets, options, and what became of an export or an import."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from em_assets.layouts.held import Held

Takes = Literal["one", "many"]


@dataclass(frozen=True)
class Options:
    """What the user allows or demands of an export.

    Attributes
    ----------
    resample_isotropic
        A volume whose voxels are no cubes may be resampled where the layout knows one length only.
    require_licence
        A dataset whose licence nobody says is refused.
    """

    resample_isotropic: bool = False
    require_licence: bool = False


class Written(NamedTuple):
    """What a layout says of what it wrote.

    Attributes
    ----------
    refused
        Volumes, files or sections that the layout cannot carry, each with the reason, one line each.
    notes
        What was written otherwise than it was held, or stated by us alone, one line each.
    """

    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Exported(NamedTuple):
    """What became of an export.

    Attributes
    ----------
    dest
        Where it is.
    layout
        Name in `LAYOUTS`.
    entries
        Names of the folders and files in `dest` that it consists of; none where all was refused.
    n_files, size_bytes
        Of all of it.
    is_new
        Whether anything at `dest` was changed.
    refused, notes
        As the layout says them.
    """

    dest: str
    layout: str
    entries: tuple[str, ...]
    n_files: int
    size_bytes: int
    is_new: bool
    refused: tuple[str, ...]
    notes: tuple[str, ...]


class Imported(NamedTuple):
    """What makes a dataset of a tree: the text of its TOML file; and what of the tree is left out, and why."""

    toml: str
    findings: tuple[str, ...] = ()


class Layout(Protocol):
    """What a module of this folder offers; see `em_assets.layouts`."""

    @property
    def TAKES(self) -> Takes:
        """Whether it is about one dataset at a time, or about a selection of them."""

    def export(self, held: Sequence[Held], draft: Path, options: Options) -> Written:
        """Write it below an empty folder."""


class ImportingLayout(Layout, Protocol):
    """A layout whose trees can become datasets again."""

    def describe_tree(self, tree: str, name: str) -> Imported:
        """How a tree, a folder or URL, becomes the dataset of this name."""
