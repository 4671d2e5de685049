"""Commands that bring datasets into the store, prove what is there and clear what nobody needs."""

import sys
from pathlib import Path

import click

from em_assets.cli.completing import dataset_names
from em_assets.cli.endings import EXIT_FAILED, errors_in_words
from em_assets.cli.options import as_json, examples
from em_assets.errors import UsageError
from em_assets.terminal import print_json, show_rows, working


@click.command(
    short_help="What fetching a dataset would take; nothing is fetched.",
    epilog=examples("em-assets plan hemibrain_ng", "em-assets plan empiar_11759 --json | jq .bytes_to_fetch"),
)
@click.argument("dataset", shell_complete=dataset_names)
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
    named = datasets.get(dataset, known)
    with working(f"{dataset}: listing its sources"):
        planned = plan_dataset(named, known)
    if is_json:
        print_json(planned.document())
    else:
        show_plan(planned)
    if planned.obstacles:
        sys.exit(EXIT_FAILED)


@click.command(
    short_help="Bring datasets in: raw files, tags, record, volumes, checks.",
    epilog=examples(
        "EM_ASSETS_ORIGIN=sample em-assets fetch epfl_hippocampus u2os_chromatin",
        "em-assets fetch empiar_11759 --from /media/disk/11759",
        "em-assets fetch empiar_11759 --locked",
    ),
)
@click.argument("dataset", nargs=-1, required=True, shell_complete=dataset_names)
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


@click.command(
    short_help="Read every byte of the volumes against what was committed.",
    epilog=examples("em-assets validate", "em-assets validate epfl_hippocampus --json"),
)
@click.argument("dataset", required=False, shell_complete=dataset_names)
@as_json
@errors_in_words
def validate(dataset: str | None, is_json: bool) -> None:
    """Read every byte of DATASET's volumes, or of all that are held, and compare it with what was committed.

    One row for each file that is missing, changed, or more than there should be; exit code 1 if there is any.
    """
    from em_assets import datasets, settings
    from em_assets.volumes.store import volume_names
    from em_assets.volumes.validation import validate_volume

    known = settings.load()
    names = list(datasets.load(known)) if dataset is None else [datasets.get(dataset, known).name]
    checked: dict[tuple[str, str], list[str]] = {}
    with working("looking for volumes") as show:
        for name, volume in [(one, each) for one in names for each in volume_names(known.volumes_dir(one))]:
            show(f"{name}/{volume}: reading every byte")
            checked[name, volume] = validate_volume(known.volumes_dir(name) / volume)
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


@click.command(
    short_help="Show what nobody needs any more, or remove it.",
    epilog=examples("em-assets gc", "em-assets gc epfl_hippocampus --quarantine --remove"),
)
@click.argument("dataset", nargs=-1, shell_complete=dataset_names)
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
