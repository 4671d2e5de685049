"""Commands that turn somebody's files into volumes, and volumes into what others expect."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from em_assets.cli.completing import dataset_names, layout_names, paths
from em_assets.cli.endings import errors_in_words
from em_assets.cli.options import as_json, examples
from em_assets.terminal import print_json, show_rows, voxels_shown, working

if TYPE_CHECKING:
    from em_assets.model import Content
    from em_assets.settings import OMEZarrVersion


def _zyx(_: click.Context, __: click.Parameter, value: str | None) -> tuple[float, float, float] | None:
    if value is None:
        return None
    try:
        z, y, x = (float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter("three numbers with commas expected: Z,Y,X in nanometres") from None
    return (z, y, x)


@click.command(
    short_help="Write a file, folder or URL as a multiscale OME-Zarr.",
    epilog=examples(
        "em-assets ingest stack.tif stack.ome.zarr --voxel-size-nm 50,8,8",
        "em-assets ingest labels.tif labels.ome.zarr --content labels --ome-zarr 0.4",
    ),
)
@click.argument("src", shell_complete=paths)
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


@click.command(
    short_help="Write datasets as others expect: cryoET, VISoR, RO-Crate, …",
    epilog=examples(
        "em-assets export visor_bb001 --layout visor --to /data/visor",
        "em-assets export --layout croissant --to s3://bucket/exported --require-licence",
    ),
)
@click.argument("dataset", nargs=-1, shell_complete=dataset_names)
@click.option(
    "--layout",
    required=True,
    shell_complete=layout_names,
    help="visor, visor-2025 and others: a wrong name lists them.",
)
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


@click.command(
    "import",
    short_help="Write the TOML that makes a dataset of a tree in a known layout.",
    epilog=examples(
        "em-assets import /data/VISOR001.vsr --layout visor-2025 --name visor001",
        "em-assets import s3://cryoet-data-portal-public/10001/ --layout cryoet --name cryoet_all --to datasets",
    ),
)
@click.argument("tree", shell_complete=paths)
@click.option(
    "--layout", required=True, shell_complete=layout_names, help="What TREE is in: cryoet, visor, visor-2025."
)
@click.option("--name", required=True, help="Of the dataset to be.")
@click.option("--to", type=click.Path(path_type=Path), metavar="DIR", help="Instead of EM_ASSETS_DATASETS.")
@as_json
@errors_in_words
def import_tree(tree: str, layout: str, name: str, to: Path | None, is_json: bool) -> None:
    """Write the TOML file that makes a dataset of TREE, a folder or URL; what it leaves out is said.

    `em-assets fetch` then brings it in, with EM_ASSETS_DATASETS naming the file's folder.
    """
    from em_assets import settings
    from em_assets.exporting import import_tree as write_toml

    with working(f"looking at {tree}"):
        path, left_out = write_toml(tree, layout, name, to, settings.load())
    for finding in left_out:
        click.echo(f"em-assets: left out: {finding}", err=True)
    if is_json:
        print_json({"path": path, "dataset": name, "layout": layout, "left_out": list(left_out)})
    else:
        click.echo(path)
