"""Completion in the shell: names of datasets and of their volumes, and the script that a shell reads.

Somebody waits for the answer between two key strokes, so nothing is imported here but settings: files are not parsed,
only their names are read, and a store in a bucket is not asked.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

import em_assets
from em_assets.cli.endings import errors_in_words
from em_assets.cli.options import as_json, examples

COMPLETE = "_EM_ASSETS_COMPLETE"
"""The variable by which a shell asks: click's rule for a command called em-assets."""

SHELLS = ("bash", "zsh", "fish")

_NAME = re.compile("[a-z0-9_]+")


def dataset_names(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Datasets whose name begins like this: those that `datasets.load` finds, by the names of their files."""
    from em_assets.errors import EMAssetsError
    from em_assets.settings import SAMPLE, load

    package = Path(em_assets.__file__).parent
    folders = [package / "datasets"]
    try:
        known = load(asks_bucket=False)
    except EMAssetsError:  # a variable is wrong: the command itself will say so
        return _beginning(incomplete, _stems(folders))
    folders += [known.datasets] if known.datasets else []
    folders += [package / "sample" / "datasets"] if known.origin == SAMPLE else []
    return _beginning(incomplete, _stems(folders))


def held_volumes(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Volumes that a store on a disk holds of the dataset that stands before."""
    from em_assets.errors import EMAssetsError
    from em_assets.settings import load

    # click gives up on the line where an option still lacks its value, and leaves the words before it in `args`.
    dataset = context.params.get("dataset") or next(iter(context.args), None)
    try:
        known = load(asks_bucket=False)
    except EMAssetsError:
        return []
    if not isinstance(dataset, str) or known.remote:
        return []
    folders = (known.store / "volumes").glob(f"{dataset}/*/commits") if _NAME.fullmatch(dataset) else ()
    return _beginning(incomplete, (folder.parent.name for folder in folders))


def layout_names(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Layouts to write or read."""
    from em_assets.layouts import LAYOUTS

    return _beginning(incomplete, LAYOUTS)


def paths(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Whatever the shell itself completes as a path."""
    return [CompletionItem(incomplete, type="file")]


def _stems(folders: Iterable[Path]) -> list[str]:
    return [path.stem for folder in folders for path in folder.glob("*.toml")]


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})


@click.command(
    short_help="Print the script for completion in bash, zsh or fish.",
    epilog=examples(
        'eval "$(em-assets completion bash)"                     # now; or this line in ~/.bashrc',
        'eval "$(em-assets completion zsh)"                      # or in ~/.zshrc',
        "em-assets completion fish > ~/.config/fish/completions/em-assets.fish",
    ),
)
@click.argument("shell", type=click.Choice(SHELLS))
@as_json
@errors_in_words
@click.pass_context
def completion(context: click.Context, shell: str, is_json: bool) -> None:
    """Print the script that makes SHELL complete commands, options and the names of datasets and volumes."""
    from em_assets.terminal import print_json

    complete = get_completion_class(shell)
    root = context.find_root()
    assert complete is not None  # one of the three that click brings
    script = complete(root.command, {}, root.info_name or "em-assets", COMPLETE).source()
    if is_json:
        print_json({"shell": shell, "script": script})
    else:
        click.echo(script)
