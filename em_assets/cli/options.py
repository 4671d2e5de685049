"""What the commands' `--help` has in common: `--json`, and examples at its end."""

import click

as_json = click.option("--json", "is_json", is_flag=True, help="Print JSON instead of a table.")


def examples(*commands: str) -> str:
    """The end of a command's `--help`: lines to copy, which are not wrapped."""
    title = "Example:" if len(commands) == 1 else "Examples:"
    return "\n".join(["\b", title, *(f"  {command}" for command in commands)])
