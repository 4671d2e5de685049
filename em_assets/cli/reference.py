"""The page of all commands, `docs/command_line.md`, written from what they say of themselves.

`python -m em_assets.cli.reference docs/command_line.md` writes it; a test compares the two.
"""

import sys
from pathlib import Path

import click

from em_assets.cli import COMMANDS, main

WIDTH = 100

_HEAD = """# The command line

`em-assets` does from a terminal what Dagster's UI does, over the same assets and the same store. This page is what
`em-assets COMMAND --help` prints.

Data go to stdout, messages to stderr; how far something is, is shown on stderr where that is a terminal. `--json`
prints the data of every command as JSON.

| exit code | |
| --- | --- |
| 0 | done |
| 1 | a run or a blocking check failed, or what was looked at is not as it should be |
| 2 | wrong usage or input; the message says what was expected, and often what was meant |
| 3 | a source cannot be reached; a later try may succeed |
| 130 | interrupted by Ctrl-C |
| 141 | whoever read the output hung up, as in `em-assets tags stack.tif \\| head` |

`em-assets completion bash` (or `zsh`, `fish`) prints what completes commands, options, datasets and volumes: put
 `eval "$(em-assets completion bash)"` into `~/.bashrc`.

## Begin with your own data

`em-assets init DIR` makes a folder to work in; `source .env` there sets the store, the datasets' folder and the Dagster
home, and `dagster dev -w workspace.yaml` in it reads the same file. `em-assets add` writes a dataset's TOML from an
accession (`EMPIAR-11759`, `idr0086`), an address or a path: it lists folder by folder within bounds, reads the first
bytes of one file of each ending, the metadata of a Zarr, N5 or precomputed volume, and the archive's record. What the
record says is written down as `[[says]]`, with the place in the record; numbers without a unit are not taken over, and
what nobody says is a comment to fill in. A volume of more than `max_bytes` becomes a box (`kind = "cutout"`). Where an
address holds several volumes or formats, they are listed to choose from, and nothing is written.

The addresses of archives were never confirmed live from where this was built.
"""


def reference() -> str:
    """The page, in Markdown."""
    return "\n".join([_HEAD, *(_section(command) for command in COMMANDS)])


def _section(command: click.Command) -> str:
    parent = click.Context(main, info_name="em-assets", terminal_width=WIDTH, color=False)
    context = click.Context(command, info_name=command.name, parent=parent, **main.context_settings)
    return f"## em-assets {command.name}\n\n```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
