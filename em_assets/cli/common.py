"""What all commands share: exit codes, `--json`, and our own errors as one line on stderr."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import NoReturn, ParamSpec, TypeVar

import click

from em_assets.errors import EMAssetsError, SourceUnreachableError

EXIT_FAILED, EXIT_USAGE, EXIT_UNREACHABLE = 1, 2, 3

as_json = click.option("--json", "is_json", is_flag=True, help="Print JSON instead of a table.")

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


def fail(error: Exception, code: int) -> NoReturn:
    """End with one line on stderr."""
    click.echo(f"em-assets: {' '.join(str(error).split())}", err=True)
    sys.exit(code)
