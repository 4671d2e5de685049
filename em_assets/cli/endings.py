"""How every command ends: exit codes, our own errors as one line on stderr, Ctrl-C, a reader that hung up."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import NoReturn, ParamSpec, TypeVar

import click

from em_assets.errors import EMAssetsError, SourceUnreachableError

EXIT_FAILED, EXIT_USAGE, EXIT_UNREACHABLE, EXIT_INTERRUPTED, EXIT_HUNG_UP = 1, 2, 3, 130, 141
"""The last two are those of SIGINT and SIGPIPE, as a shell gives them."""

GRACE_S = 4.0
"""What an interrupted command gets to clean up."""

P = ParamSpec("P")
T = TypeVar("T")


def errors_in_words(command: Callable[P, T]) -> Callable[P, T]:
    """One line on stderr and an exit code for the platform's own errors; any other is a bug and keeps its trace."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except SourceUnreachableError as error:
            fail(error, EXIT_UNREACHABLE)
        except EMAssetsError as error:
            fail(error, EXIT_USAGE)

    return run


@contextmanager
def signals_as_exit_codes() -> Iterator[None]:
    """Ctrl-C, and a reader of stdout that hung up (`| head`), end a command without a trace."""
    try:
        with _ending_in_time():
            yield
        sys.stdout.flush()
    except (KeyboardInterrupt, ImportError) as error:
        # A compiled library that is interrupted while it is imported says "initialization failed".
        if not isinstance(error, KeyboardInterrupt) and not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        fail("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # What is still in stdout's buffer has nowhere to go, and Python would say so once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_HUNG_UP)


@contextmanager
def _ending_in_time() -> Iterator[None]:
    """End the process some seconds after Ctrl-C, also where a compiled library waits and lets no signal through.

    What is written is whole or not there at any moment, so nothing is left to mend.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_end_in_time, args=(reader,), daemon=True, name="Ctrl-C").start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)


def _end_in_time(reader: int) -> None:
    """Wait for a SIGINT, and then for the process to end by itself; the pipe's end is the command's."""
    while received := os.read(reader, 1):
        if received[0] == signal.SIGINT:
            time.sleep(GRACE_S)
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, b"em-assets: interrupted\n")
            os._exit(EXIT_INTERRUPTED)
    os.close(reader)


def fail(error: Exception | str, code: int) -> NoReturn:
    """End with one line on stderr."""
    click.echo(f"em-assets: {' '.join(str(error).split())}", err=True)
    sys.exit(code)
