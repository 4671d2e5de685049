"""What `--help` says of each command: snapshots, and what all of them have in common."""

from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from em_assets.cli import COMMANDS, main
from em_assets.cli.reference import reference

WIDTH = 100


def help_of(*arguments: str) -> str:
    done = CliRunner().invoke(main, [*arguments, "--help"], terminal_width=WIDTH, prog_name="em-assets", color=False)
    assert done.exit_code == 0
    return done.stdout


def names_of(command: click.Command) -> str:
    return str(command.name)


def test_the_help_of_all_is_as_it_was(compared: Callable[[str, str], None]) -> None:
    compared("help.txt", help_of())


@pytest.mark.parametrize("command", COMMANDS, ids=names_of)
def test_a_commands_help_is_as_it_was(command: click.Command, compared: Callable[[str, str], None]) -> None:
    compared(f"help_{command.name}.txt", help_of(str(command.name)))


def test_the_page_of_all_commands_is_up_to_date() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "command_line.md"
    assert page.read_text() == reference(), "python -m em_assets.cli.reference docs/command_line.md"


@pytest.mark.parametrize("command", COMMANDS, ids=names_of)
def test_a_command_has_json_and_an_example_that_it_takes(command: click.Command) -> None:
    assert any("--json" in option.opts for option in command.params)
    assert command.epilog is not None
    example = [line for line in command.epilog.splitlines() if f"em-assets {command.name}" in line]
    assert example, command.epilog


@pytest.mark.parametrize("command", COMMANDS, ids=names_of)
def test_a_commands_options_are_explained(command: click.Command) -> None:
    """`--help` of an option without words leaves a reader to guess."""
    unexplained = [
        option.opts
        for option in command.params
        if isinstance(option, click.Option) and not option.help and not isinstance(option.type, click.Choice)
    ]
    assert unexplained == []


@pytest.mark.parametrize("arguments", [(), *((names_of(command),) for command in COMMANDS)], ids=" ".join)
def test_the_mark_that_keeps_lines_apart_is_not_printed(arguments: tuple[str, ...]) -> None:
    r"""Click takes `\b` for "do not wrap" only where it is a line of its own."""
    assert "\b" not in help_of(*arguments)
    assert r"\b" not in help_of(*arguments)


def test_the_list_of_commands_is_whole() -> None:
    wanted = "list show fetch plan tags conflicts audit ingest validate open catalog query export gc doctor init add"
    assert set(wanted.split()) <= {str(command.name) for command in COMMANDS}


def test_what_each_command_is_for_fits_into_a_line() -> None:
    listed = help_of().partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in listed] == [str(command.name) for command in COMMANDS]
    assert not [line for line in listed if line.endswith("...")]


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [(["fetc"], "fetch"), (["show", "epfl_hipocampus"], "epfl_hippocampus"), (["list", "--jso"], "--json")],
    ids=["command", "dataset", "option"],
)
def test_a_slip_of_the_pen_is_answered_with_what_was_meant(arguments: list[str], meant: str) -> None:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert f"id you mean '{meant}'?" in done.stderr
