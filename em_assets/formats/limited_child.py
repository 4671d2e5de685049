"""The other end of `limited`: what runs in the child."""

import importlib
import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from em_assets.errors import EMAssetsError, FormatError

_OUT_OF_MEMORY = "takes more memory than a decoder is given: made to hurt, or strips and tiles that are too large"


def main(name: str) -> None:
    """Answer calls of one function until the parent closes its end."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints must not get into the answers
    module, _, attribute = name.partition(":")
    function = getattr(importlib.import_module(module), attribute)
    mapped = _mapped_bytes()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out.write(b"ready\n")
    for line in sys.stdin.buffer:
        memory_bytes, cpu_s, arguments = json.loads(line)
        _bound(mapped and mapped + memory_bytes, cpu_s)
        _answer(out, function, arguments)


def _answer(out: IO[bytes], function: Callable[..., Any], arguments: list[Any]) -> None:
    try:
        value = function(*arguments)
    except EMAssetsError as error:
        _write(out, {"error": [type(error).__name__, str(error)]})
    except MemoryError:
        _write(out, {"error": [FormatError.__name__, f"{arguments[0]}: {_OUT_OF_MEMORY}"]})
    else:
        if isinstance(value, np.ndarray):
            _write(out, {"array": [value.dtype.str, value.shape]}, np.ascontiguousarray(value))
        else:
            _write(out, {"value": value})


def _write(out: IO[bytes], answer: dict[str, Any], voxels: "np.ndarray[Any, Any] | None" = None) -> None:
    out.write(json.dumps(answer).encode() + b"\n")
    if voxels is not None:
        rest = voxels.reshape(-1).view(np.uint8).data
        while len(rest):
            rest = rest[out.write(rest) :]


def _mapped_bytes() -> int | None:
    """What the imports take; None where no bound on memory is known but the clock: all but Linux."""
    if sys.platform != "linux":
        return None
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()


def _bound(memory_bytes: int | None, cpu_s: int) -> None:
    if memory_bytes is not None:  # of memory of its own: a large file that is only mapped takes none
        _limit(resource.RLIMIT_DATA, memory_bytes)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, int(usage.ru_utime + usage.ru_stime) + 1 + cpu_s)


def _limit(kind: int, value: int) -> None:
    """Set a limit, as far as this process may: whoever started it may have set a lower one."""
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
