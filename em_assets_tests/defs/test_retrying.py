"""Dagster runs a step again for errors of the machine that pass; for nothing else."""

import errno
import sqlite3
from collections.abc import Callable

import dagster as dg
import pytest

from em_assets.defs.retrying import MAX_RETRIES, may_pass, retried
from em_assets.errors import FormatError, SourceUnreachableError, StoreError


def caused(error: Exception, by: Exception) -> Exception:
    error.__cause__ = by
    return error


STALE = OSError(errno.ESTALE, "stale file handle")


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (STALE, True),
        (sqlite3.OperationalError("database is locked"), True),
        (caused(StoreError("the store cannot be written"), STALE), True),
        (OSError(errno.ENOSPC, "no space left"), False),
        (OSError(errno.EACCES, "permission denied"), False),
        (caused(SourceUnreachableError("no answer"), TimeoutError()), False),
        (FormatError("cut short"), False),
        (TypeError("a bug"), False),
    ],
    ids=["network disk", "sqlite", "store on one", "disk full", "forbidden", "given up", "bad file", "bug"],
)
def test_only_what_passes_by_itself_is_tried_again(error: Exception, passes: bool) -> None:
    assert may_pass(error) is passes


def tries_of(fail: Callable[[int], None]) -> tuple[bool, int]:
    """Whether a step that does this ended well, and how often it was begun."""
    tries = []

    @dg.op
    @retried(pause_s=0)
    def step() -> None:
        tries.append(len(tries))
        fail(tries[-1])

    @dg.job
    def job() -> None:
        step()

    return job.execute_in_process(raise_on_error=False).success, len(tries)


def test_a_step_that_a_network_disk_interrupted_is_run_again() -> None:
    def fail(number: int) -> None:
        if number == 0:
            raise STALE

    assert tries_of(fail) == (True, 2)


def test_a_step_is_not_run_again_and_again() -> None:
    def fail(number: int) -> None:
        raise STALE

    assert tries_of(fail) == (False, 1 + MAX_RETRIES)


def test_a_transfer_that_gave_up_is_not_begun_anew() -> None:
    def fail(number: int) -> None:
        raise SourceUnreachableError("no answer") from TimeoutError()

    assert tries_of(fail) == (False, 1)
