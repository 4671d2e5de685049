"""The command that says what is wrong here."""

import sys
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

import click

from em_assets.cli.endings import EXIT_FAILED, EXIT_UNREACHABLE, errors_in_words
from em_assets.cli.options import as_json, examples
from em_assets.terminal import print_json

if TYPE_CHECKING:
    from em_assets.doctor import Finding


@click.command(
    short_help="Say what must be mended: machine, store, Dagster, archives.",
    epilog=examples("em-assets doctor", "em-assets doctor --json"),
)
@as_json
@errors_in_words
def doctor(is_json: bool) -> None:
    """What is well here, what must be mended and how: this machine, the store, the Dagster home, the archives.

    Nothing is changed, and it takes ten seconds at most. Exit code 1 where something must be mended; else 3 where
    something could not be asked, such as an archive that does not answer; else 0.
    """
    from em_assets.doctor import examine

    findings = examine()
    if is_json:
        print_json([finding._asdict() for finding in findings])
    else:
        _show(findings)
    states = {finding.state for finding in findings}
    sys.exit(EXIT_FAILED if "mend" in states else EXIT_UNREACHABLE if "unknown" in states else 0)


def _show(findings: "Sequence[Finding]") -> None:
    """One line a finding below the name of its area, and the sum at the end.

    What to do stands behind it, so that `| grep mend` shows it too; on a terminal, which would wrap it, beneath.
    """
    for area, group in groupby(findings, attrgetter("area")):
        click.echo(area)
        of_area = list(group)
        width = max(len(finding.what) for finding in of_area)
        indent = f"\n{' ' * (width + 13)}" if sys.stdout.isatty() else "  "
        for finding in of_area:
            to_do = f"{indent}→ {finding.to_do}" if finding.to_do else ""
            click.echo(f"  {_state(finding.state)}  {finding.what.ljust(width)}  {finding.found}{to_do}")
        click.echo()
    n_mend, n_unknown = (sum(finding.state == state for finding in findings) for state in ("mend", "unknown"))
    click.echo(f"{_counted(n_mend, 'thing')} to mend, {n_unknown} that could not be asked, of {len(findings)}")


def _state(state: str) -> str:
    """The word in seven letters, coloured on a terminal."""
    colour = {"ok": "green", "mend": "red"}.get(state, "yellow")
    return click.style(state.ljust(7), fg=colour)


def _counted(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"
