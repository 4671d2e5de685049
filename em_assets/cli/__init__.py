"""`em-assets`: the platform from a terminal, over the same assets as the UI.

Data go to stdout, progress and messages to stderr. Exit codes: 0 done, 1 a run or a blocking check failed, 2 wrong
usage or input, 3 a source cannot be reached, 130 interrupted. A command stands in the module of its kind and has its
line in `COMMANDS`, in the order in which `em-assets --help` lists them.
"""

import logging
from typing import Any

import click

from em_assets import __version__
from em_assets.cli.bringing import fetch, gc, plan, validate
from em_assets.cli.completing import completion
from em_assets.cli.converting import export, import_tree, ingest
from em_assets.cli.doctor import doctor
from em_assets.cli.endings import signals_as_exit_codes
from em_assets.cli.looking import audit, conflicts, list_datasets, query, show, tags
from em_assets.cli.options import examples
from em_assets.cli.pages import catalog
from em_assets.cli.starting import add, init
from em_assets.cli.viewing import open_dataset

COMMANDS: tuple[click.Command, ...] = (
    init,
    add,
    list_datasets,
    show,
    plan,
    fetch,
    validate,
    gc,
    open_dataset,
    catalog,
    query,
    tags,
    conflicts,
    audit,
    ingest,
    export,
    import_tree,
    doctor,
    completion,
)


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of `COMMANDS`, not of the alphabet

    def invoke(self, ctx: click.Context) -> Any:
        with signals_as_exit_codes():
            return super().invoke(ctx)


HELP = """Public 3-D electron-microscopy data: fetched, proved, catalogued, ready to read.

\b
Settings, from the environment:
  EM_ASSETS_STORE     where all is kept: a folder, or s3://bucket/folder; ./store
  EM_ASSETS_ORIGIN    public, sample (look-alikes, served here), a mirror's folder
  EM_ASSETS_DATASETS  a further folder of dataset TOML files
  DAGSTER_HOME        folder of the Dagster instance; else runs are forgotten
The README lists the others.

Exit codes: 0 done, 1 a run or a blocking check failed, 2 wrong usage or input, 3 a source cannot be reached, 130
interrupted. Data go to stdout, messages to stderr.
"""


@click.group(
    cls=_Commands,
    help=HELP,
    commands=list(COMMANDS),
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "em-assets init em && cd em",
        "EM_ASSETS_ORIGIN=sample em-assets fetch epfl_hippocampus",
        "em-assets show epfl_hippocampus",
    ),
)
@click.version_option(__version__, prog_name="em-assets")
def main() -> None:
    """Run one of the commands."""
    # What tifffile mutters about a damaged file on stderr, our own error says in one line.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
