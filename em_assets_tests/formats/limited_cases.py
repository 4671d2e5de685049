"""What a decoder may do in the worst case, as functions that a limited child runs."""

import ctypes
import time
from typing import Any

import numpy as np

from em_assets.errors import UnsupportedDataError


def run(where: str, deed: str, *given: Any) -> Any:
    """Do what is asked for."""
    return DEEDS[deed](*given)


def _work() -> None:
    while True:
        pass


def _refuse() -> None:
    raise UnsupportedDataError("a.tif: no volume")


def _print() -> str:
    print("hello", flush=True)  # noqa: T201
    return "said"


PROCESS = time.monotonic_ns()

DEEDS = {
    "crash": lambda: ctypes.string_at(0),
    "work": _work,
    "sleep": lambda: time.sleep(60),
    "memory": lambda: len(bytearray(2**31)),
    "bug": lambda: 1 / 0,
    "refuse": _refuse,
    "print": _print,
    "array": lambda n: np.arange(n, dtype=">u2").reshape(2, -1),
    "process": lambda: PROCESS,
}
