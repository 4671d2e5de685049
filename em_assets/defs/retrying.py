"""Which errors Dagster tries again: those of the machine that pass by themselves, and no others.

Archives are not among them. The transfer has asked again, with pauses, for as long as it is worth; a step that began
anew would only wait for the same dead server once more. A policy of Dagster's own would also try bugs and Ctrl-C again.
"""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from sqlalchemy.exc import OperationalError

from em_assets.errors import SourceError

MAX_RETRIES = 2
PAUSE_S = 10.0

PASSING_ERRNOS = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.EINTR,
        errno.EIO,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ECONNRESET,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)
"""What a network disk says while its server restarts. A full disk, or one that is read-only, stays so."""


@contextmanager
def retried(pause_s: float = PAUSE_S) -> Iterator[None]:
    """Ask Dagster to run the step again where the error may pass; every other error goes its way.

    Raises
    ------
    dagster.RetryRequested
        The error may pass; after `MAX_RETRIES` tries the step fails with it.
    """
    try:
        yield
    except Exception as error:  # of any type: whether it may pass, its causes tell
        if not may_pass(error):
            raise
        raise dg.RetryRequested(MAX_RETRIES, pause_s) from error


def may_pass(error: BaseException) -> bool:
    """Whether trying again later may help: by the error or by one that caused it; never where a source failed."""
    causes = list(_causes(error))
    if any(isinstance(cause, SourceError) for cause in causes):
        return False
    return any(_passes(cause) for cause in causes)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _passes(error: BaseException) -> bool:
    if isinstance(error, sqlite3.OperationalError):
        return "locked" in str(error)
    if isinstance(error, OperationalError):  # of the instance's database: restarted, full of connections, a deadlock
        return not isinstance(error.orig, sqlite3.Error)
    return isinstance(error, TimeoutError) or (isinstance(error, OSError) and error.errno in PASSING_ERRNOS)
