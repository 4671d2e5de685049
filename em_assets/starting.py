"""`em-assets init`: a folder to work in, for who installed the package with pip and has no checkout of it.

::

    dagster.yaml, workspace.yaml      Dagster's home and what it loads
    datasets/my_stack.toml.example    a dataset to copy and edit; as it is, it is none
    .env                              where the store, the datasets and the home are, for a shell and for Dagster
    .gitignore, README.md             what is made on this machine; the next commands
"""

from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from em_assets.errors import UsageError
from em_assets.settings import absolute

FILES = {
    "dagster.yaml": "dagster.yaml",
    "workspace.yaml": "workspace.yaml",
    "datasets/my_stack.toml.example": "my_stack.toml.example",
    ".env": "env",
    ".gitignore": "gitignore",
    "README.md": "README.md",
}
"""Path in a project → its template in `em_assets/project`."""

_UNQUOTABLE = "'\\\n\r"
"""A shell and dotenv do not agree on how these stand in a quoted value."""


class Started(NamedTuple):
    """A project folder, what was written there, and what to type next."""

    folder: Path
    files: tuple[str, ...]
    next_commands: tuple[str, ...]


def start_project(place: Path) -> Started:
    """Write a project's files into a folder, which is made; nothing that is there is touched.

    Raises
    ------
    UsageError
        Something has one of the files' names already, or the folder cannot be written; the message names it.
    """
    folder = absolute(place)
    refused = [letter for letter in _UNQUOTABLE if letter in str(folder)]
    if refused:
        raise UsageError(
            f"{str(folder)!r}: a path without {refused[0]!r} expected, so that a shell can quote it in .env"
        )
    try:
        _write(folder)
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: cannot be written: {error.strerror}") from error
    return Started(folder, tuple(FILES), (f"cd '{folder}' && source .env", "em-assets add EMPIAR-11759 --name retina"))


def _write(folder: Path) -> None:
    there = [path for path in FILES if (folder / path).exists() or (folder / path).is_symlink()]
    if there:
        raise UsageError(f"{folder}: {', '.join(there)} exist already; nothing was written: choose another folder")
    for path, template in FILES.items():
        text = files("em_assets").joinpath("project", template).read_text(encoding="utf-8")
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as file:  # "x": whoever was quicker keeps what is theirs
            file.write(text.replace("{folder}", str(folder)))
