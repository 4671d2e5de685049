"""`em-assets export` and `em-assets import`: what is written where, what was refused, and why."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from em_assets import layouts
from em_assets.datasets import read_toml
from em_assets.errors import UsageError
from em_assets.model import NAME_PATTERN
from em_assets.settings import Settings, place
from em_assets.terminal import show_rows, size, working
from em_assets.volumes.staging import create_only

if TYPE_CHECKING:
    from em_assets.layouts.interface import Options


def export_datasets(
    names: Sequence[str], settings: Settings, layout: str, to: str, options: "Options", *, is_json: bool
) -> int:
    """Write datasets in a layout; 0, or 1 where one was refused altogether."""
    with working(f"writing {layout} to {to}"):
        done = layouts.export(names, settings, layout, place(to), options)
    for exported in done:
        for refusal in exported.refused:
            sys.stderr.write(f"em-assets: refused: {refusal}\n")
        for note in exported.notes:
            sys.stderr.write(f"em-assets: {note}\n")
    if is_json:
        show_rows([exported._asdict() for exported in done], is_json=True)
    else:
        show_rows(
            [
                {
                    "entry": f"{exported.dest}/{entry}",
                    "layout": exported.layout,
                    "files": exported.n_files,
                    "size": size(exported.size_bytes),
                    "changed": "yes" if exported.is_new else "no",
                }
                for exported in done
                for entry in exported.entries
            ]
        )
    return 1 if any(not exported.entries for exported in done) else 0


def import_tree(tree: str, layout: str, name: str, to: Path | None, settings: Settings) -> tuple[Path, tuple[str, ...]]:
    """Write the TOML file that makes a dataset of a tree; its path, and what of the tree it leaves out.

    Raises
    ------
    UsageError
        No folder to write it in, or there is such a dataset already.
    """
    folder = to or settings.datasets
    if folder is None:
        raise UsageError("no folder for the dataset's TOML: name one with --to, or in EM_ASSETS_DATASETS")
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(f"{name!r} is no dataset name: a-z, 0-9 and '_' expected, a letter or digit first")
    described = layouts.describe_tree(tree, layout, name)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    if not create_only(path, described.toml.encode()):
        raise UsageError(f"{path}: exists already; choose another --name, or remove it first")
    read_toml(path)
    return path, described.findings
