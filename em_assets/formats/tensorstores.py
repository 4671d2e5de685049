"""Voxels through tensorstore: opened, read, and read into memory that is there with many reads in flight.

A process that is forked from one that used tensorstore must not use it: it would be aborted. `is_forked_from_user` says
so, and whoever reads blocks there asks a process of its own (`blocks.apart`).
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from numpy.typing import NDArray

from em_assets.errors import (
    FormatError,
    SourceError,
    SourceMissingError,
    SourceUnreachableError,
    UnsupportedDataError,
    UsageError,
)
from em_assets.formats.volume import Finish
from em_assets.model import ZYX
from em_assets.settings import say_to_tensorstore, transfer_limits

CACHE_BYTES = 64 * 2**20
"""Decoded chunks that neighbouring reads share; small, because a volume is read once, slab by slab."""

TRIES = 5
"""Requests for the same bytes before a server counts as one that does not answer: as many as transfers make."""

FILES_AT_ONCE = 256
"""That are asked for: each pending one costs memory, however small it is."""

PAUSES = {"initial_delay": "500ms", "max_delay": "10s"}
"""Between them; each is about twice the last."""

TENSORSTORE_ERRORS = (ValueError, OSError, RuntimeError, NotImplementedError, IndexError, TypeError, OverflowError)
"""What tensorstore raises; a body is a single call, so that nothing of ours hides among them."""

_user: int | None = None
"""The process that used tensorstore, as far as this one knows: itself, or one that it was forked from."""


def is_forked_from_user() -> bool:
    """Whether this process was forked from one that had used tensorstore, whose threads are not here."""
    return _user is not None and _user != os.getpid()


def open_tensorstore(where: str, spec: Mapping[str, Any], context: Any = None) -> Any:
    """A tensorstore for reading; without a context of its own in the one that bounds memory, waiting and retries.

    Raises
    ------
    FormatError
        It cannot be opened; the message names the place.
    UsageError
        This process was forked from one that used tensorstore, which would abort it.
    """
    global _user
    import tensorstore

    if is_forked_from_user():
        raise UsageError(f"{where}: this process was forked from one that read voxels: start it by spawn or forkserver")
    _user = os.getpid()
    try:
        return tensorstore.open(dict(spec), read=True, context=context or _context()).result()
    except TENSORSTORE_ERRORS as error:
        raise _failure(where, error) from error


def open_kvstore(where: str, spec: Mapping[str, Any]) -> Any:
    """The files of a place as tensorstore reads them, in the same context as `open_tensorstore`.

    Raises
    ------
    FormatError, UsageError
        As `open_tensorstore`.
    """
    global _user
    import tensorstore

    if is_forked_from_user():
        raise UsageError(f"{where}: this process was forked from one that read voxels: start it by spawn or forkserver")
    _user = os.getpid()
    try:
        return tensorstore.KvStore.open(dict(spec), context=_context()).result()
    except TENSORSTORE_ERRORS as error:
        raise _failure(where, error) from error


def read_files(where: str, kvstore: Any, names: Sequence[str]) -> dict[str, bytes | None]:
    """The bytes of each file, some hundreds asked for at once; None for one that is not there.

    Raises
    ------
    FormatError
        One cannot be read.
    SourceError
        A server does not answer, or gives it to nobody.
    """
    found: dict[str, bytes | None] = {}
    for first in range(0, len(names), FILES_AT_ONCE):
        asked = {name: kvstore.read(name) for name in names[first : first + FILES_AT_ONCE]}
        try:
            answers = {name: answer.result() for name, answer in asked.items()}
        except TENSORSTORE_ERRORS as error:
            raise _failure(where, error) from error
        found |= {name: None if answer.state == "missing" else answer.value for name, answer in answers.items()}
    return found


def read_tensorstore(where: str, array: Any) -> NDArray[Any]:
    """All voxels of a tensorstore (usually a box of one), fresh and in C order.

    Raises
    ------
    FormatError
        A chunk is broken or, where that matters, missing.
    SourceError
        A server does not answer, or does not give the chunk to the public.
    """
    try:
        voxels: NDArray[Any] = array.read(order="C").result()
    except TENSORSTORE_ERRORS as error:
        raise _failure(where, error) from error
    return voxels


@dataclass(frozen=True, eq=False)
class BoxReader:
    """Boxes of a tensorstore, which is opened when the first one is asked for."""

    where: str
    open: Callable[[], Any]

    def read_box(self, start_zyx: ZYX, shape_zyx: ZYX) -> NDArray[Any]:
        """A box as a fresh array."""
        return read_tensorstore(self.where, self._box(start_zyx, shape_zyx))

    def read_into(self, start_zyx: ZYX, out: NDArray[Any]) -> None:
        """A box straight into memory that is there."""
        self.begin_into(start_zyx, out)()

    def begin_into(self, start_zyx: ZYX, out: NDArray[Any]) -> Finish:
        """The same without waiting."""
        z, y, x = out.shape
        return begin_tensorstore(self.where, self._box(start_zyx, (z, y, x)), out)

    def _box(self, start_zyx: ZYX, shape_zyx: ZYX) -> Any:
        return self._array[tuple(slice(start, start + n) for start, n in zip(start_zyx, shape_zyx, strict=True))]

    @cached_property
    def _array(self) -> Any:
        return self.open()


def begin_tensorstore(where: str, array: Any, out: NDArray[Any]) -> Finish:
    """Begin to decode a tensorstore into `out`, of its shape and type; what comes back waits and raises.

    Until it has been called nobody else may use `out`.
    """
    import tensorstore

    begun = tensorstore.array(out).write(array.translate_to[(0,) * out.ndim])

    def finish() -> None:
        try:
            begun.result()
        except TENSORSTORE_ERRORS as error:
            raise _failure(where, error) from error

    return finish


@lru_cache(maxsize=1)
def _context() -> Any:
    import tensorstore

    limits = transfer_limits()
    # A request that stalls is tried again within the time that a transfer gives a file.
    stall_s = min(limits.stall_s, limits.no_news_s / TRIES)
    say_to_tensorstore(limits.connect_s, stall_s, limits.least_bytes_per_s)
    retries = {"max_retries": TRIES - 1, **PAUSES}
    return tensorstore.Context(
        {
            "cache_pool": {"total_bytes_limit": CACHE_BYTES},
            "http_request_retries": retries,
            "s3_request_retries": retries,
        }
    )


def _failure(where: str, error: Exception) -> FormatError | SourceError:
    reason = str(error).split(" [tensorstore_spec=")[0].split(" [http_response_body=")[0]
    if reason.startswith(("ABORTED", "UNAVAILABLE", "DEADLINE_EXCEEDED")):
        return SourceUnreachableError(f"{where}: no answer: {reason:.300}")
    if reason.startswith(("PERMISSION_DENIED", "UNAUTHENTICATED")):
        return SourceMissingError(f"{where}: not there, or not public: {reason:.300}")
    if reason.endswith(" is not registered"):
        return UnsupportedDataError(f"{where}: packed in a way that is not read here, so pack it anew: {reason:.300}")
    return FormatError(f"{where}: cannot be read, so fetch it again: {reason:.300}")
