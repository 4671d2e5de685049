"""What is made of one dataset, a partition each: source → raw_files → original_tags → claims → record → volume.

Beside them what hangs on these: block_index, raw_bytes and export. What goes over all datasets is in `catalog_assets`.
Bodies fetch arguments, call plain functions and return; each docstring is what the scientist reads in the UI.
"""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pyarrow as pa

from em_assets import building, layouts
from em_assets.building import VolumeToWrite
from em_assets.catalog.block_index import write_block_index
from em_assets.catalog.dumps import TAGS_FOLDER
from em_assets.defs import metadata
from em_assets.defs.partitions import each_dataset
from em_assets.defs.platform import OWNERS, AnyPlatform
from em_assets.defs.pools import hosts_of, slots
from em_assets.defs.retrying import retried
from em_assets.keeping import bring_raw, changing, send_folder, send_raw
from em_assets.layouts.interface import Options
from em_assets.proving import drop_raw
from em_assets.retention import made_of
from em_assets.settings import PUBLIC, place
from em_assets.sources import acquire, observe
from em_assets.sources.wire import Patience


class Acquisition(dg.Config):
    """How the files come in: `locked` demands the bytes of `lock.toml`, `from_folder` adopts what came another way.

    `accept_gone` lets go what the source no longer lists; without it that is an error.
    """

    locked: bool = False
    from_folder: str | None = None
    accept_gone: bool = False


class Export(dg.Config):
    """What to write where: a layout's name, and a folder or `s3://…` (by default `exports/<layout>` in the store)."""

    layout: str | None = None
    to: str | None = None
    resample_isotropic: bool = False
    require_licence: bool = False


@dg.multi_observable_source_asset(  # type: ignore[untyped-decorator]
    specs=[
        dg.AssetSpec(
            "source",
            description="What the archive holds now: a listing and its fingerprint. Nothing is downloaded to learn it.",
            group_name="acquisition",
            kinds={"archive"},
            owners=OWNERS,
        )
    ],
    partitions_def=each_dataset,
    name="source",
)
def source(context: dg.AssetExecutionContext, platform: AnyPlatform) -> Iterator[dg.ObserveResult]:
    """One asset; declared as several are, since Dagster gives an owner to no other kind of source."""
    dataset = platform.dataset(context.partition_key)
    with retried(), platform.serving() as origin:
        seen = observe(dataset.sources, origin, patience=Patience.within_limits(platform.settings.transfer))
    context.log.info(f"{len(seen.files)} files, fingerprint {seen.fingerprint[:12]}")
    yield dg.ObserveResult(
        asset_key="source",
        data_version=dg.DataVersion(seen.fingerprint),
        metadata=metadata.of_listing(dataset, platform.settings, seen),
    )


@dg.asset(
    group_name="acquisition",
    kinds={"file"},
    owners=OWNERS,
    partitions_def=each_dataset,
    deps=[source],
)
@retried()
def raw_files(
    context: dg.AssetExecutionContext, platform: AnyPlatform, config: Acquisition
) -> dg.MaterializeResult[None]:
    """The archive's files as they are, each whole: size and SHA-256 stand in the manifest. What is held is kept.

    Files of this machine are hashed where they lie and not copied, unless the dataset says `copy = true`.
    """
    dataset = platform.dataset(context.partition_key)
    folder = platform.settings.raw_dir(dataset.name)
    # Only the real archives are shared with others; look-alikes and mirrors are this machine's own.
    hosts = hosts_of(dataset.sources) if platform.settings.origin == PUBLIC else []
    with slots(context, hosts, platform.settings.store), platform.serving() as origin:
        bring_raw(platform.settings, dataset.name)
        with changing(platform.settings, folder):
            held = acquire(
                dataset.sources,
                origin,
                folder,
                log=context.log.info,
                patience=Patience.within_limits(platform.settings.transfer),
                locked=config.locked,
                adopt_from=Path(config.from_folder) if config.from_folder else None,
                made_of=made_of(dataset, platform.settings),
                accept_gone=config.accept_gone,
            )
            send_raw(platform.settings, dataset.name)
    size = metadata.size(sum(file.size_bytes for file in held.files))
    context.log.info(
        f"{len(held.files)} files, {size}: {held.fetched} fetched ({held.fetched_bytes} bytes), "
        f"{held.adopted} adopted, {held.referenced} where they lie, {held.kept} already held"
    )
    return dg.MaterializeResult(
        data_version=dg.DataVersion(held.fingerprint),
        metadata=metadata.of_acquired(dataset, platform.settings, held),
    )


@dg.asset(
    group_name="metadata",
    kinds={"parquet"},
    owners=OWNERS,
    partitions_def=each_dataset,
    deps=[raw_files],
    io_manager_key="parquet",
)
@retried()
def original_tags(context: dg.AssetExecutionContext, platform: AnyPlatform) -> pa.Table:
    """Every tag that the dataset's files carry, one row a tag: file, container, path, value, type.

    The same as JSON, one document a file or Zarr node, lies in the folder `tags` beside the table; so do the annotated
    points of a dataset of the cryoET portal, as `points.parquet`.
    """
    dataset = platform.dataset(context.partition_key)
    tags = building.original_tags(dataset, platform.settings)
    n_points = building.write_points(dataset, platform.settings)
    n_files = len(tags["file"].unique())
    context.log.info(f"{tags.num_rows} tags of {n_files} files")
    context.add_output_metadata(
        {
            "tags": tags.num_rows,
            "files": n_files,
            "points": n_points,
            "as_json": dg.MetadataValue.path(str(platform.settings.metadata_dir(context.partition_key) / TAGS_FOLDER)),
            **metadata.pictured({"tags_of_a_file": metadata.counts(tags["file"].to_pylist())}),
            "first": metadata.markdown_table(tags.column_names, tags[:20].to_pylist()),
            **metadata.links(dataset, platform.settings),
        }
    )
    return tags


@dg.asset(
    group_name="metadata",
    kinds={"parquet"},
    owners=OWNERS,
    partitions_def=each_dataset,
    deps=[original_tags],
    io_manager_key="parquet",
)
@retried()
def claims(context: dg.AssetExecutionContext, platform: AnyPlatform) -> pa.Table:
    """What files, publisher and earlier looks say of each field, one row a claim, each with where it is said."""
    dataset = platform.dataset(context.partition_key)
    found = building.claims(dataset, platform.settings)
    context.log.info(f"{found.num_rows} claims")
    context.add_output_metadata(
        {
            "claims": found.num_rows,
            **metadata.pictured({"claims_of_a_kind": metadata.counts(found["kind"].to_pylist())}),
            **metadata.links(dataset, platform.settings),
            "all": metadata.markdown_table(
                ["volume", "field", "value", "unit", "kind", "said_by", "locator"], found[:100].to_pylist()
            ),
        }
    )
    return found


@dg.asset(
    group_name="metadata", kinds={"parquet"}, owners=OWNERS, partitions_def=each_dataset, io_manager_key="parquet"
)
@retried()
def record(
    context: dg.AssetExecutionContext, platform: AnyPlatform, claims: pa.Table
) -> dg.Output[dict[str, pa.Table]]:
    """What is true of each volume, as far as anyone witnessed it: who says so, and who says otherwise."""
    dataset = platform.dataset(context.partition_key)
    records, conflicts = building.record(dataset, platform.settings, claims)
    fields = building.fields(dataset, platform.settings, claims)
    files = building.files(dataset, platform.settings)
    n_unknown = fields["is_unknown"].to_pylist().count(True)
    context.log.info(f"{records.num_rows} volumes, {conflicts.num_rows} conflicts, {n_unknown} unknown fields")
    return dg.Output(
        {"record": records, "conflicts": conflicts, "fields": fields, "files": files},
        metadata={
            **metadata.pictured(metadata.previews(dataset, platform.settings)),
            "volumes": records.num_rows,
            "conflicts": conflicts.num_rows,
            "unknown_fields": n_unknown,
            "record": metadata.turned_table(records.to_pylist(), heading="volume"),
            "disagreements": metadata.markdown_table(conflicts.column_names, conflicts.to_pylist()),
            **metadata.links(dataset, platform.settings),
        },
    )


@dg.asset(group_name="volumes", kinds={"zarr"}, owners=OWNERS, partitions_def=each_dataset, io_manager_key="zarr")
@retried()
def volume(
    context: dg.AssetExecutionContext, platform: AnyPlatform, record: pa.Table
) -> dg.Output[list[VolumeToWrite]]:
    """The dataset's volumes as multiscale OME-Zarr: all levels made in one pass, each volume visible once whole."""
    dataset = platform.dataset(context.partition_key)
    return dg.Output(
        list(building.volumes_to_write(dataset, platform.settings, record)),
        metadata=metadata.links(dataset, platform.settings),
    )


@dg.asset(group_name="volumes", kinds={"parquet"}, owners=OWNERS, partitions_def=each_dataset, deps=[volume])
@retried()
def block_index(context: dg.AssetExecutionContext, platform: AnyPlatform) -> dg.MaterializeResult[None]:
    """Statistics of every chunk of every volume, one row a chunk: where there is something to see, or to train on.

    They were taken in the pass that wrote the volume. `em-assets query` knows the rows as `block_index`.
    """
    settings, dataset = platform.settings, platform.dataset(context.partition_key)
    folder = settings.metadata_dir(dataset.name)
    with changing(settings, folder):
        index = write_block_index(dataset.name, settings)
        send_folder(settings, folder)
    context.log.info(f"{index.n_rows} chunks")
    return dg.MaterializeResult(
        metadata={
            **metadata.pictured(metadata.maps(dataset, settings)),
            "chunks": index.n_rows,
            "file": dg.MetadataValue.path(str(index.path)),
            "volumes": metadata.statistics_table(index.volumes),
            **metadata.links(dataset, settings),
        }
    )


@dg.asset(group_name="volumes", kinds={"file"}, owners=OWNERS, partitions_def=each_dataset, deps=[volume])
@retried()
def raw_bytes(context: dg.AssetExecutionContext, platform: AnyPlatform) -> dg.MaterializeResult[None]:
    """What became of the raw files' bytes: kept, unless the dataset says `keep_raw = false`.

    Then every voxel of every volume is compared with its source, as another library reads it, and the bytes are dropped
    where all are equal. Manifest, lock file and tags stay; what is needed again is fetched again.
    """
    dataset = platform.dataset(context.partition_key)
    retained = drop_raw(dataset, platform.settings)
    if retained.dropped_bytes:
        send_raw(platform.settings, dataset.name)
    if not dataset.keep_raw:
        context.log.info("; ".join(retained.reasons) or f"{retained.dropped_bytes} bytes dropped")
    return dg.MaterializeResult(
        metadata={
            "dropped_bytes": retained.dropped_bytes,
            "kept_because": metadata.bullets(retained.reasons),
            **metadata.held_bytes(dataset, platform.settings),
            **metadata.links(dataset, platform.settings),
        }
    )


@dg.asset(
    group_name="exports",
    kinds={"file"},
    owners=OWNERS,
    partitions_def=each_dataset,
    deps=[record, volume],
    output_required=False,
)
def export(context: dg.AssetExecutionContext, platform: AnyPlatform, config: Export) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]  # Dagster reads it, and knows no other
    """The dataset as others expect it: name a layout in the launchpad (cryoet, visor, visor-2025 and others).

    Without a layout nothing is written. What the layout cannot carry is refused, and listed here with the reason.
    Layouts about a selection (croissant, citation) take all datasets that are held, whatever the partition.
    """
    if config.layout is None:
        context.log.info(f"no layout named, so nothing to export; there are: {', '.join(layouts.LAYOUTS)}")
        return
    settings, dataset = platform.settings, platform.dataset(context.partition_key)
    dest = place(config.to) if config.to else settings.exports_dir(config.layout)
    options = Options(resample_isotropic=config.resample_isotropic, require_licence=config.require_licence)
    of_one = layouts.layout(config.layout).TAKES == "one"
    (done,) = layouts.export([dataset.name] if of_one else [], settings, config.layout, dest, options)
    context.log.info(f"{done.n_files} files, {metadata.size(done.size_bytes)}, {len(done.refused)} refusals")
    yield dg.MaterializeResult(
        metadata={
            "layout": done.layout,
            "entries": metadata.bullets([f"{done.dest}/{entry}" for entry in done.entries]),
            "files": done.n_files,
            "bytes": done.size_bytes,
            "is_new": done.is_new,
            "refused": metadata.bullets(done.refused),
            "notes": metadata.bullets(done.notes),
            **metadata.pictured(metadata.previews(dataset, settings)),
            **metadata.links(dataset, settings),
        }
    )
