"""Decoders of foreign bytes that are native code, in a child process that may take so much and may die without harm.

The child imports what it needs once and serves one call after the other: JSON lines in, a JSON line (and an array's
bytes) out. It is started again after a death; what killed it becomes an error that names the file.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from selectors import EVENT_READ, DefaultSelector
from signal import Signals
from time import monotonic
from typing import IO, Any, NoReturn

import numpy as np

from em_assets.errors import EMAssetsError, FormatError

CHILDREN = 4
"""Of one kind at once; further calls wait."""

MOST_BYTES = 2 * 10**9
"""What decoding may take at most, whatever a file declares."""

IMPORTS_S = 120

_PROGRAM = "import sys; sys.path[:] = {path!r}; from em_assets.formats.limited_child import main; main({function!r})"


@dataclass(frozen=True)
class Limits:
    """What one call may take: bytes beyond what the imports took, seconds of work, seconds by the clock."""

    memory_bytes: int
    cpu_s: int
    wall_s: float


def limits_for(n_bytes: int) -> Limits:
    """What decoding to so many bytes may take: 5 MB/s is slower than every decoder, so small files end soon.

    JPEG 2000 works in 32-bit numbers, several at a time for each byte of the result.
    """
    memory_bytes = min(2**29 + 12 * n_bytes, MOST_BYTES)
    return Limits(memory_bytes, cpu_s=4 + n_bytes // 5_000_000, wall_s=9 + n_bytes / 2_000_000)


def call_limited(where: str, function: str, *arguments: Any, limits: Limits) -> Any:
    """What `package.module:function` returns for JSON-able arguments, called in a child: an array, or JSON-able too.

    Raises
    ------
    EMAssetsError
        As the function raises it.
    FormatError
        The call took more than it may or ended the child: the message names `where` and what happened.
    """
    with _children(os.getpid(), function).one() as child:
        return child.call(where, arguments, limits)


@lru_cache(maxsize=16)
def _children(process: int, function: str) -> "_Children":
    """Of this process: after a fork the children belong to the parent, which talks with them."""
    return _Children(function)


class _Children:
    """Idle children of one kind, and how many may be at work."""

    def __init__(self, function: str) -> None:
        self._function = function
        self._free = threading.BoundedSemaphore(CHILDREN)
        self._lock = threading.Lock()
        self._idle: list[_Child] = []

    @contextmanager
    def one(self) -> Iterator["_Child"]:
        with self._free:
            child = self._idle_one() or _Child(self._function)
            try:
                yield child
            except EMAssetsError:
                self._put_back(child)
                raise
            except BaseException:
                child.end()  # an answer may be on its way, which the next caller must not get
                raise
            self._put_back(child)

    def _idle_one(self) -> "_Child | None":
        with self._lock:
            while self._idle:
                child = self._idle.pop()
                if child.is_alive:  # one may have been ended from outside while nobody looked
                    return child
        return None

    def _put_back(self, child: "_Child") -> None:
        if child.is_alive:
            self._idle.append(child)


class _Child:
    """One process, which runs one function."""

    def __init__(self, function: str) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the child
        self._process = subprocess.Popen(
            # What this process may import, and nothing from the folder that it happens to be in: data may lie there.
            [sys.executable, "-P", "-c", _PROGRAM.format(path=sys.path, function=function)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,
        )
        self._is_ready = False
        weakref.finalize(self, _end, os.getpid(), self._process, self._log)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()

    def call(self, where: str, arguments: tuple[Any, ...], limits: Limits) -> Any:
        if not self._is_ready:  # imports take their own time, which is no fault of the file
            self._line(where, monotonic() + IMPORTS_S, limits)
            self._is_ready = True
        until = monotonic() + limits.wall_s
        self._send(where, json.dumps([limits.memory_bytes, limits.cpu_s, arguments]).encode() + b"\n", limits)
        answer = json.loads(self._line(where, until, limits))
        if "error" in answer:
            kind, message = answer["error"]
            raise _kinds(EMAssetsError)[kind](message)
        if "array" not in answer:
            return answer["value"]
        dtype, shape = answer["array"]
        voxels = np.empty(shape, dtype)
        self._fill(where, voxels.reshape(-1).view(np.uint8).data, until, limits)
        return voxels

    def _send(self, where: str, request: bytes, limits: Limits) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(request)
        except BrokenPipeError:
            self._refuse(where, limits, is_late=False)

    def _line(self, where: str, until: float, limits: Limits) -> bytes:
        line = bytearray()
        letter = bytearray(1)
        while not line.endswith(b"\n"):
            self._fill(where, memoryview(letter), until, limits)
            line += letter
        return bytes(line)

    def _fill(self, where: str, buffer: memoryview, until: float, limits: Limits) -> None:
        """Wait for so many bytes of the answer, but not for ever."""
        pipe = self._process.stdout
        assert pipe is not None
        with DefaultSelector() as selector:
            selector.register(pipe, EVENT_READ)
            while len(buffer):
                if not selector.select(max(0.0, until - monotonic())):
                    self._refuse(where, limits, is_late=True)
                n_bytes = os.readv(pipe.fileno(), [buffer])
                if n_bytes == 0:
                    self._refuse(where, limits, is_late=False)
                buffer = buffer[n_bytes:]

    def _refuse(self, where: str, limits: Limits, *, is_late: bool) -> NoReturn:
        if is_late:
            self._process.kill()
        code = self._process.wait()
        self._log.seek(0)
        last = self._log.read().decode(errors="replace").strip().rpartition("\n")[2]
        reason = f"it took more than {limits.wall_s:.0f} s" if is_late else _death(code, last, limits)
        raise FormatError(f"{where}: cannot be decoded: {reason}; it is damaged or made to hurt: fetch it again")


def _kinds(kind: type[EMAssetsError]) -> dict[str, type[EMAssetsError]]:
    """The errors below one, and itself, by name."""
    return {kind.__name__: kind, **{name: k for below in kind.__subclasses__() for name, k in _kinds(below).items()}}


def _death(code: int, last_words: str, limits: Limits) -> str:
    if code == -Signals.SIGXCPU:
        return f"it took more than {limits.cpu_s} s of work"
    if code < 0:
        return f"the decoder died of {Signals(-code).name}"
    return f"the decoder ended with {last_words[:200] or code}"


def _end(owner: int, process: "subprocess.Popen[bytes]", log: IO[bytes]) -> None:
    for pipe in (process.stdin, process.stdout, log):
        if pipe is not None:
            pipe.close()
    if os.getpid() == owner:  # a forked process that ends leaves its parent's children alone
        process.kill()
        process.wait()
