"""`em-assets`: the platform from a terminal, over the same assets as the UI.

Data go to stdout, progress and messages to stderr. Exit codes: 0 done, 1 a run or a blocking check failed, 2 wrong
usage or input, 3 a source cannot be reached, 130 interrupted. A command stands in the module of its kind and has its
line in `COMMANDS`, in the order in which `em-assets --help` lists them.
"""

import logging

import click

from em_assets import __version__
from em_assets.cli.bringing import fetch, gc, plan, validate
from em_assets.cli.converting import export, import_tree, ingest
from em_assets.cli.looking import audit, conflicts, list_datasets, query, show, tags

COMMANDS: tuple[click.Command, ...] = (
    list_datasets,
    show,
    plan,
    fetch,
    validate,
    gc,
    query,
    tags,
    conflicts,
    audit,
    ingest,
    export,
    import_tree,
)


class _InOrder(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_InOrder, commands=list(COMMANDS), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="em-assets")
def main() -> None:
    """Public 3-D electron-microscopy data: fetched, proved, catalogued, ready to read.

    The store is ./store unless EM_ASSETS_STORE names another; EM_ASSETS_ORIGIN chooses public, sample, or a mirror's
    folder.
    """
    # What tifffile mutters about a damaged file on stderr, our own error says in one line.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
