"""A library of other people that reads a format, and what is said where none does."""

import struct
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from em_assets.errors import EMAssetsError
from em_assets.independent.voxels import Voxels


class NotIndependentError(EMAssetsError):
    """No library but our own reads the volume; the message says why."""


class Library(NamedTuple):
    """A library, and how it opens one file or folder: a list of everything there that could be a volume.

    `own_errors` are those that it raises besides `REFUSALS`.
    """

    name: str
    open_voxels: Callable[[str], AbstractContextManager[list[Voxels]]]
    own_errors: Callable[[], tuple[type[Exception], ...]] = tuple


REFUSALS: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
)
"""What the libraries were seen to raise on account of a file that they do not take, from `struct` to `imagecodecs`."""
