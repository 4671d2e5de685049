"""Commands that begin something: a folder to work in, and a dataset of one's own."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from em_assets.cli.endings import errors_in_words
from em_assets.cli.options import as_json, examples
from em_assets.terminal import print_json

if TYPE_CHECKING:
    from em_assets.adding import Added
    from em_assets.settings import Settings


@click.command(
    short_help="Make a folder to work in: Dagster's files, a dataset to edit.",
    epilog=examples("em-assets init em", "cd em && source .env && em-assets list"),
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@as_json
@errors_in_words
def init(folder: Path, is_json: bool) -> None:
    """Make the folder DIR to work in: dagster.yaml, workspace.yaml, datasets/ with a TOML to edit, .env, .gitignore.

    Nothing that is there is touched.
    """
    from em_assets.starting import start_project

    started = start_project(folder)
    if is_json:
        print_json(started._asdict())
        return
    click.echo("".join(f"{started.folder / path}\n" for path in started.files), nl=False)
    click.echo("Next:\n" + "".join(f"  {command}\n" for command in started.next_commands), err=True, nl=False)


@click.command(
    short_help="Write the TOML of a new dataset from an accession or URL.",
    epilog=examples(
        "em-assets add EMPIAR-11759 --name retina",
        "em-assets add idr0086 --to datasets --name chromatin",
        "em-assets add s3://janelia-cosem-datasets/jrc_mus-nacc-2/ --name nacc",
        'em-assets add https://example.org/stacks/ --include "**/*.tif" --name stacks',
        "em-assets add /data/2026/stack.tif",
    ),
)
@click.argument("address", metavar="URL")
@click.option("--name", help="Of the dataset: a-z, 0-9, _. By default from the accession or the address.")
@click.option("--to", type=click.Path(path_type=Path), metavar="DIR", help="Instead of EM_ASSETS_DATASETS.")
@click.option("--include", multiple=True, metavar="GLOB", help="Which files are meant, where there are others.")
@click.option(
    "--max-bytes", type=click.IntRange(min=1), help="Take a box of a volume with more; 20 GB if it is not given."
)
@as_json
@errors_in_words
def add(
    address: str, name: str | None, to: Path | None, include: tuple[str, ...], max_bytes: int | None, is_json: bool
) -> None:
    """Look at URL and write the TOML file that makes a dataset of it: only what was found, the unknown left unknown.

    URL is an accession (EMPIAR-11759, idr0086), an address (https, s3, gs, ftp) or a path. Nothing is fetched but
    listings, first bytes, metadata and the archive's record.
    """
    from em_assets import settings
    from em_assets.adding import add as write_toml
    from em_assets.terminal import working

    known = settings.load()
    with working(f"looking at {address}"):
        added = write_toml(address, known, name=name, to=to, include=include, max_bytes=max_bytes)
    for remark in added.remarks:
        click.echo(f"em-assets: {remark}", err=True)
    way_on = _way_on(added, known)
    if is_json:
        print_json({**added._asdict(), "next": way_on})
        return
    click.echo(str(added.path))
    said = f"the archive's record says {len(added.said)} fields" if added.record_urls else "no record of an archive"
    unknown = f"unknown so far: {', '.join(added.unknown)}" if added.unknown else "what is asked first is said"
    click.echo(f"{added.format}; {said}; {unknown}\nNext: look at the file, then {way_on}", err=True)


def _way_on(added: "Added", known: "Settings") -> str:
    """The command that comes next, with the file's folder where no setting names it."""
    from em_assets.settings import absolute

    folder = absolute(added.path.parent)
    setting = "" if known.datasets == folder else f"EM_ASSETS_DATASETS='{folder}' "
    return f"{setting}em-assets plan {added.dataset}"
