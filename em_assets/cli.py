"""`em-assets`: the platform from a terminal, over the same assets as the UI.

Data go to stdout, progress and messages to stderr. Exit codes: 0 done, 1 a run or a blocking check failed, 2 wrong
usage or input, 3 a source cannot be reached, 130 interrupted.
"""

import logging
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TypeVar

import click

from em_assets import __version__
from em_assets.errors import EMAssetsError, SourceUnreachableError, UsageError
from em_assets.terminal import print_json, show_rows, voxels_shown

if TYPE_CHECKING:
    from em_assets.model import Content
    from em_assets.settings import OMEZarrVersion

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


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="em-assets")
def main() -> None:
    """Public 3-D electron-microscopy data: fetched, proved, catalogued, ready to read.

    The store is ./store unless EM_ASSETS_STORE names another; EM_ASSETS_ORIGIN chooses public, sample, or a mirror's
    folder.
    """
    # What tifffile mutters about a damaged file on stderr, our own error says in one line.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())


@main.command("list")
@as_json
@errors_in_words
def list_datasets(is_json: bool) -> None:
    """The registered datasets, and which of them the store holds."""
    from em_assets import datasets, settings
    from em_assets.catalog.holdings import is_held

    known = settings.load()
    rows = [
        {
            "dataset": name,
            "title": dataset.title,
            "source": dataset.sources[0].url if dataset.is_served_by(known.origin) else f"no {known.origin} source",
            "is_fetched": is_held(name, known),
            "last_confirmed_live": dataset.last_confirmed_live,
        }
        for name, dataset in datasets.load(known).items()
    ]
    show_rows(rows, is_json=is_json)


@main.command(epilog="Example: em-assets show epfl_hippocampus --json")
@click.argument("dataset")
@as_json
@errors_in_words
def show(dataset: str, is_json: bool) -> None:
    """What is known of DATASET and of each of its volumes, who says so, and what nobody says."""
    from em_assets import datasets, settings
    from em_assets.catalog.holdings import describe
    from em_assets.showing import show_dataset

    known = settings.load()
    described = describe(datasets.get(dataset, known), known)
    if is_json:
        print_json(described)
        return
    show_dataset(described)
    if not described["volumes"]:
        click.echo(f"{dataset} is not fetched yet: em-assets fetch {dataset}", err=True)


@main.command(epilog="Example: em-assets conflicts empiar_11759 --json")
@click.argument("dataset", required=False)
@as_json
@click.option("--strict", is_flag=True, help="Exit code 1 where there is any conflict, settled or not.")
@errors_in_words
def conflicts(dataset: str | None, is_json: bool, strict: bool) -> None:
    """Where sources disagree about DATASET, or about any dataset that is held: both values, why, and the verdict."""
    from em_assets import datasets, settings
    from em_assets.catalog.holdings import conflicts_held
    from em_assets.showing import show_conflicts

    known = settings.load()
    registered = datasets.load(known) if dataset is None else {dataset: datasets.get(dataset, known)}
    found = conflicts_held(registered, known)
    if is_json:
        print_json(found)
    else:
        show_conflicts(found)
    if strict and found:
        sys.exit(EXIT_FAILED)


@main.command(epilog="Example: em-assets audit claims.json --json --strict")
@click.argument("claims", metavar="CLAIMS.json", type=click.Path(path_type=Path))
@as_json
@click.option("--strict", is_flag=True, help="Exit code 1 where a claim fails.")
@errors_in_words
def audit(claims: Path, is_json: bool, strict: bool) -> None:
    """Judge published claims: a JSON list of {"dataset", "field", "value", "unit", "said_by"}.

    The same list comes back with `verdict` (holds, fails, unknown), `true_value`, `witness` and `cause`.
    """
    from em_assets import settings
    from em_assets.auditing import audit_file
    from em_assets.showing import show_verdicts

    judged = audit_file(claims, settings.load())
    if is_json:
        print_json(judged)
    else:
        show_verdicts(judged)
    if strict and any(claim["verdict"] == "fails" for claim in judged):
        sys.exit(EXIT_FAILED)


@main.command(epilog="Example: EM_ASSETS_ORIGIN=sample em-assets fetch epfl_hippocampus u2os_chromatin")
@click.argument("dataset", nargs=-1, required=True)
@click.option(
    "--locked", is_flag=True, help="Only the bytes that the dataset's lock.toml names; differences are errors."
)
@click.option(
    "--from",
    "adopt_from",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Adopt the files in DIR, which came by disk, Globus or Aspera, once they are verified; fetch the rest.",
)
@click.option("--accept-gone", is_flag=True, help="Let go what is held and the source no longer lists.")
@as_json
@errors_in_words
def fetch(dataset: tuple[str, ...], locked: bool, adopt_from: Path | None, accept_gone: bool, is_json: bool) -> None:
    """Materialize each DATASET: raw files, tags, claims, record, volumes, checks; then the catalog.

    What the store holds already is not fetched again. Exit code 1 when a run or a blocking check failed.
    """
    from em_assets import datasets, settings

    known = settings.load()
    settings.claim_store(known)
    for name in dataset:
        datasets.get(name, known)
    if adopt_from is not None and len(dataset) > 1:
        raise UsageError(f"--from {adopt_from}: the files of one dataset expected, found {len(dataset)} datasets")
    if adopt_from is not None and not adopt_from.is_dir():
        raise UsageError(f"--from {adopt_from}: a folder expected")
    from em_assets.fetching import fetch_datasets

    folder = adopt_from and settings.absolute(adopt_from)
    sys.exit(fetch_datasets(dataset, known, is_json=is_json, locked=locked, adopt_from=folder, accept_gone=accept_gone))


@main.command(epilog="Example: em-assets plan hemibrain_ng --json")
@click.argument("dataset")
@as_json
@errors_in_words
def plan(dataset: str, is_json: bool) -> None:
    """What fetching DATASET would take: objects, bytes, and how likely its box is blank. Nothing is fetched.

    Exit code 1 where it could not be carried out: over max_bytes, or no room for it.
    """
    from em_assets import datasets, settings
    from em_assets.planning import plan as plan_dataset
    from em_assets.showing import show_plan

    known = settings.load()
    planned = plan_dataset(datasets.get(dataset, known), known)
    if is_json:
        print_json(planned.document())
    else:
        show_plan(planned)
    if planned.obstacles:
        sys.exit(EXIT_FAILED)


@main.command(epilog="Example: em-assets gc --remove")
@click.argument("dataset", nargs=-1)
@click.option("--dry-run/--remove", default=True, show_default=True, help="Show what there is, or remove it.")
@click.option("--quarantine", is_flag=True, help="What was quarantined as well.")
@as_json
@errors_in_words
def gc(dataset: tuple[str, ...], dry_run: bool, quarantine: bool, is_json: bool) -> None:
    """What nobody needs any more of each DATASET, or of all: replaced raw versions, generations without a commit."""
    from em_assets import datasets, settings
    from em_assets.collecting import leftovers
    from em_assets.terminal import size

    known = settings.load()
    found = leftovers(dataset, datasets.load(known), known, quarantine=quarantine, dry_run=dry_run)
    show_rows([one._asdict() for one in found], is_json=is_json)
    total = size(sum(one.size_bytes for one in found))
    way_on = "; remove them with --remove" if dry_run and found else ""
    click.echo(f"{len(found)} leftovers, {total} {'to remove' if dry_run else 'removed'}{way_on}", err=True)


@main.command(epilog="Example: em-assets validate epfl_hippocampus --json")
@click.argument("dataset", required=False)
@as_json
@errors_in_words
def validate(dataset: str | None, is_json: bool) -> None:
    """Read every byte of DATASET's volumes, or of all that are held, and compare it with what was committed.

    One row for each file that is missing, changed, or more than there should be; exit code 1 if there is any.
    """
    from em_assets import datasets, settings
    from em_assets.volumes.validation import validate_volumes

    known = settings.load()
    names = list(datasets.load(known)) if dataset is None else [datasets.get(dataset, known).name]
    checked = {
        (name, volume): problems
        for name in names
        for volume, problems in validate_volumes(known.volumes_dir(name)).items()
    }
    rows = [
        {"dataset": name, "volume": volume, "problem": problem}
        for (name, volume), problems in checked.items()
        for problem in problems
    ]
    show_rows(rows, is_json=is_json)
    counts = ((len(checked), "volume"), (len(rows), "problem"))
    checked_volumes, problems_found = (f"{n} {word}{'' if n == 1 else 's'}" for n, word in counts)
    click.echo(f"{checked_volumes} checked, {problems_found}", err=True)
    if rows:
        sys.exit(EXIT_FAILED)


@main.command(epilog="Example: em-assets tags slice_0000.dm3 --json")
@click.argument("file")
@as_json
@errors_in_words
def tags(file: str, is_json: bool) -> None:
    """Every original tag of FILE: a path or URL of any known format."""
    from em_assets.formats import read_tags

    found = [tag._asdict() for tag in read_tags(file)]
    show_rows(found, is_json=is_json)


@main.command(epilog="Example: em-assets export visor_bb001 --layout visor --to /data/visor")
@click.argument("dataset", nargs=-1)
@click.option("--layout", required=True, help="visor, visor-2025 and others: a wrong name lists them.")
@click.option("--to", required=True, metavar="DIR|s3://…", help="Where; what others put there stays.")
@click.option("--resample-isotropic", is_flag=True, help="Where the layout knows cubic voxels only.")
@click.option("--require-licence", is_flag=True, help="Refuse what nobody says a licence of.")
@as_json
@errors_in_words
def export(
    dataset: tuple[str, ...], layout: str, to: str, resample_isotropic: bool, require_licence: bool, is_json: bool
) -> None:
    """Write each DATASET that is held as others expect it; a catalog's layout takes all where none is named.

    The same call again changes nothing. What a layout cannot carry is refused with the reason; exit code 1 where that
    is all of a dataset.
    """
    from em_assets import settings
    from em_assets.exporting import export_datasets
    from em_assets.layouts.interface import Options

    known = settings.load()
    settings.claim_store(known)
    options = Options(resample_isotropic=resample_isotropic, require_licence=require_licence)
    sys.exit(export_datasets(dataset, known, layout, to, options, is_json=is_json))


@main.command("import", epilog="Example: em-assets import /data/VISOR001.vsr --layout visor-2025 --name visor001")
@click.argument("tree")
@click.option("--layout", required=True, help="What TREE is in: cryoet, visor, visor-2025.")
@click.option("--name", required=True, help="Of the dataset to be.")
@click.option("--to", type=click.Path(path_type=Path), metavar="DIR", help="Instead of EM_ASSETS_DATASETS.")
@errors_in_words
def import_tree(tree: str, layout: str, name: str, to: Path | None) -> None:
    """Write the TOML file that makes a dataset of TREE, a folder or URL; what it leaves out is said.

    `em-assets fetch` then brings it in, with EM_ASSETS_DATASETS naming the file's folder.
    """
    from em_assets import settings
    from em_assets.exporting import import_tree as write_toml

    click.echo(write_toml(tree, layout, name, to, settings.load()))


def _zyx(_: click.Context, __: click.Parameter, value: str | None) -> tuple[float, float, float] | None:
    if value is None:
        return None
    try:
        z, y, x = (float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter("three numbers with commas expected: Z,Y,X in nanometres") from None
    return (z, y, x)


@main.command(epilog="Example: em-assets ingest stack.tif stack.ome.zarr --voxel-size-nm 50,8,8")
@click.argument("src")
@click.argument("dest", type=click.Path(path_type=Path))
@click.option("--ome-zarr", type=click.Choice(["0.5", "0.4"]), default="0.5", show_default=True)
@click.option("--voxel-size-nm", callback=_zyx, metavar="Z,Y,X", help="Where the source does not say it.")
@click.option("--content", type=click.Choice(["em", "labels"]), help="Labels are halved by majority, EM by mean.")
@click.option("--volume", help="Which one, where the source holds several.")
@as_json
@errors_in_words
def ingest(
    src: str,
    dest: Path,
    ome_zarr: "OMEZarrVersion",
    voxel_size_nm: tuple[float, float, float] | None,
    content: "Content | None",
    volume: str | None,
    is_json: bool,
) -> None:
    """Write SRC (a file, folder or URL of any known format) as a multiscale OME-Zarr group at DEST.

    DEST must not exist yet. Without Dagster, store or registry.
    """
    from em_assets.settings import codec, dask_address, memory_budget_bytes
    from em_assets.volumes.ingest import ingest as write

    done = write(
        src,
        dest,
        ome_zarr=ome_zarr,
        voxel_size_zyx_nm=voxel_size_nm,
        content=content,
        volume=volume,
        progress=voxels_shown(),
        dask=dask_address(),
        codec=codec(),
        memory_budget_bytes=memory_budget_bytes(),
    )
    for warning in done.warnings:
        click.echo(f"em-assets: {warning}", err=True)
    row = {
        "path": str(done.path),
        "volume": done.volume,
        "shape_zyx": list(done.written.shape_zyx),
        "voxel_size_zyx_nm": list(done.written.voxel_size_zyx_nm),
        "dtype": done.written.dtype,
        "n_levels": done.written.n_levels,
        "content": done.written.content,
        "ome_zarr": done.written.ome_zarr,
    }
    if is_json:
        print_json(row)
    else:
        show_rows([{"field": key, "value": value} for key, value in row.items()])


@main.command(
    epilog='Example: em-assets query "SELECT dataset, volume FROM volumes WHERE voxel_size_z_nm > voxel_size_x_nm"'
)
@click.argument("sql")
@as_json
@errors_in_words
def query(sql: str, is_json: bool) -> None:
    """Ask the catalog with SQL: datasets, volumes, files, tags, claims, conflicts, fields, and views of these."""
    from em_assets import settings
    from em_assets.catalog.query import query as ask
    from em_assets.catalog.query import rows_of

    show_rows(rows_of(ask(sql, settings.load())), is_json=is_json)
