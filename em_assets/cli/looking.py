"""Commands that look at what is registered, held and claimed, and change nothing."""

import sys
from pathlib import Path

import click

from em_assets.cli.completing import dataset_names, paths
from em_assets.cli.endings import EXIT_FAILED, errors_in_words
from em_assets.cli.options import as_json, examples
from em_assets.terminal import print_json, show_rows


@click.command(
    "list", epilog=examples("em-assets list", "em-assets list --json | jq -r '.[] | select(.is_fetched).dataset'")
)
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


@click.command(
    short_help="What is known of a dataset, who says so, and what nobody says.",
    epilog=examples(
        "em-assets show epfl_hippocampus",
        "em-assets show epfl_hippocampus --json | jq '.volumes[0].voxel_size_zyx_nm'",
    ),
)
@click.argument("dataset", shell_complete=dataset_names)
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


@click.command(
    short_help="Every original tag of a file of any known format.",
    epilog=examples(
        "em-assets tags slice_0000.dm3 --json", "em-assets tags https://example.org/image.zarr | grep -i voxel"
    ),
)
@click.argument("file", shell_complete=paths)
@as_json
@errors_in_words
def tags(file: str, is_json: bool) -> None:
    """Every original tag of FILE: a path or URL of any known format."""
    from em_assets.formats import read_tags

    found = [tag._asdict() for tag in read_tags(file)]
    show_rows(found, is_json=is_json)


@click.command(
    short_help="Where sources disagree: both values, why, and the verdict.",
    epilog=examples("em-assets conflicts", "em-assets conflicts empiar_11759 --json --strict"),
)
@click.argument("dataset", required=False, shell_complete=dataset_names)
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


@click.command(
    short_help="Judge somebody's published claims: holds, fails, unknown.",
    epilog=examples("em-assets audit claims.json", "em-assets audit claims.json --json --strict"),
)
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


@click.command(
    short_help="Ask the catalog with SQL.",
    epilog=examples(
        'em-assets query "SELECT dataset, volume, technique FROM volumes"',
        'em-assets query "SELECT * FROM anisotropic_volumes" --json',
        "em-assets query \"SELECT dataset, path, value FROM tags WHERE path ILIKE '%thickness%'\"",
    ),
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
