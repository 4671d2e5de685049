"""How facts are shown in the Dagster UI: pictures, byte counts, paths, small tables."""

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from em_assets.datasets import Dataset
from em_assets.defs import pictures
from em_assets.page.writing import page_address
from em_assets.settings import Settings
from em_assets.sources import Acquired, Observation, read_manifest
from em_assets.sources.manifest import FILES, dropped_paths
from em_assets.volumes.store import committed_volumes

ORIGIN_NOTE = {"sample": "SAMPLE: made-up pixels, for trying the platform only", "public": "public"}

Metadata = dict[str, dg.MetadataValue]


def picture(png: bytes) -> dg.MarkdownMetadataValue:
    """A PNG that the UI shows inside the event; it strips plain `<img>`, so this is Markdown with a data URL."""
    return dg.MetadataValue.md(f"![preview]({_data_url('png', png)})")


def _data_url(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def pictured(pictures_by_name: Mapping[str, pictures.Picture]) -> Metadata:
    """Pictures by their keys, each to be seen after a click, and the first of them small on the page itself."""
    shown: Metadata = {key: picture(pictures.png_of(drawn)) for key, drawn in pictures_by_name.items()}
    first = next(iter(pictures_by_name.values()), None)
    if first is None:
        return shown
    return {"at_a_glance": dg.MetadataValue.md(f"![glance]({_data_url('webp', pictures.glance(first))})")} | shown


def previews(dataset: Dataset, settings: Settings) -> dict[str, pictures.Picture]:
    """A picture of each of the dataset's volumes: `preview_em`."""
    return {f"preview_{name}": drawn for name, drawn in pictures.of_dataset(dataset, settings).items()}


def links(dataset: Dataset, settings: Settings) -> Metadata:
    """Where to go on: the archive's own page about the dataset, and the catalog page of the store."""
    pages = [link for link in dataset.links if link.startswith("http")]
    archive = pages[0] if pages else dataset.sources[0].url
    return {
        "archive": dg.MetadataValue.url(archive),
        "catalog_page": dg.MetadataValue.path(page_address(settings)),
    }


def of_listing(dataset: Dataset, settings: Settings, seen: Observation) -> Metadata:
    """What a look at a source found."""
    sizes = [(remote.path, remote.size_bytes or 0) for _, remote in seen.files]
    n_bytes = sum(size_bytes for _, size_bytes in sizes)
    return {
        "origin": dg.MetadataValue.text(origin_badge(settings.origin)),
        "files": dg.MetadataValue.int(len(sizes)),
        "bytes": dg.MetadataValue.int(n_bytes),
        "size": dg.MetadataValue.text(size(n_bytes)),
        **pictured({"kinds": kinds(sizes)}),
        **links(dataset, settings),
    }


def of_acquired(dataset: Dataset, settings: Settings, held: Acquired) -> Metadata:
    """What is held of the raw files after fetching, and which way it came."""
    n_bytes = sum(file.size_bytes for file in held.files)
    by_kind = kinds((file.path, file.size_bytes) for file in held.files)
    return {
        **pictured(previews(dataset, settings) | {"kinds": by_kind}),
        "origin": dg.MetadataValue.text(origin_badge(settings.origin)),
        "files": dg.MetadataValue.int(len(held.files)),
        "bytes": dg.MetadataValue.int(n_bytes),
        "size": dg.MetadataValue.text(size(n_bytes)),
        "fetched_files": dg.MetadataValue.int(held.fetched),
        "fetched_bytes": dg.MetadataValue.int(held.fetched_bytes),
        "kept_files": dg.MetadataValue.int(held.kept),
        "adopted_files": dg.MetadataValue.int(held.adopted),
        "referenced_files": dg.MetadataValue.int(held.referenced),
        "folder": dg.MetadataValue.path(str(settings.raw_dir(dataset.name))),
        "from": dg.MetadataValue.url(dataset.sources[0].url),
        **links(dataset, settings),
    }


def kinds(sizes: Iterable[tuple[str, int]]) -> bytes:
    """Bars of bytes by the kind of file, from paths and sizes."""
    return pictures.of_kinds(sizes, short_size)


def counts(values: Iterable[object]) -> bytes:
    """Bars of how often each value comes."""
    return pictures.bars(Counter(map(str, values)))


def maps(dataset: Dataset, settings: Settings) -> dict[str, bytes]:
    """The block index of each volume as a picture: `map_em`."""
    volumes = list(committed_volumes(settings.volumes_dir(dataset.name)).items())
    return {
        f"map_{name}": pictures.of_chunks(volume.block_index()) for name, volume in volumes[: pictures.MOST_VOLUMES]
    }


def held_bytes(dataset: Dataset, settings: Settings) -> Metadata:
    """What a dataset takes of the store, raw and as volumes, in bytes; apart what is referenced where it lies."""
    folder = settings.raw_dir(dataset.name)
    dropped = dropped_paths(folder)
    files = [file for file in read_manifest(folder) or () if file.path not in dropped]
    referenced = sum(file.size_bytes for file in files if (folder / FILES / file.path).is_symlink())
    raw = sum(file.size_bytes for file in files) - referenced
    volumes = sum(one.commit.size_bytes for one in committed_volumes(settings.volumes_dir(dataset.name)).values())
    return {
        "raw_bytes": dg.MetadataValue.int(raw),
        "referenced_bytes": dg.MetadataValue.int(referenced),
        "volume_bytes": dg.MetadataValue.int(volumes),
        **pictured({"held": pictures.bars({"raw files": raw, "volumes": volumes}, short_size)}),
    }


def origin_badge(origin: str) -> str:
    """What the UI says of where the data come from, so that nobody takes made-up pixels for a brain."""
    return ORIGIN_NOTE.get(origin, f"mirror: {origin}")


def size(n_bytes: int) -> str:
    """Bytes for a reader: `3.35 GB (3353674357 bytes)`; decimal units, as archives use them."""
    short = short_size(n_bytes)
    return short if short.endswith("bytes") else f"{short} ({n_bytes} bytes)"


def short_size(n_bytes: int) -> str:
    """The same without the exact number: `3.35 GB`."""
    value, unit = float(n_bytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{n_bytes} bytes" if unit == "bytes" else f"{value:.3g} {unit}"


def markdown_table(heading: Sequence[str], rows: Sequence[Mapping[str, object]]) -> dg.MarkdownMetadataValue:
    """A small table, or `none`; `|` inside a cell is escaped."""
    if not rows:
        return dg.MetadataValue.md("none")
    lines = [" | ".join(heading), " | ".join("---" for _ in heading)]
    lines += [" | ".join(_cell(row.get(name)) for name in heading) for row in rows]
    return dg.MetadataValue.md("\n".join(f"| {line} |" for line in lines))


def statistics_table(rows: Sequence[Mapping[str, object]]) -> dg.MarkdownMetadataValue:
    """A line a volume; mean and deviation in four figures, of which a reader compares no more."""
    rounded = [{**row, **{name: _four_figures(row[name]) for name in ("mean", "std")}} for row in rows]
    return markdown_table(list(rounded[0]) if rounded else [], rounded)


def _four_figures(value: object) -> object:
    """`23460` for 23456.7: no exponent where a volume of 16 bits has its mean."""
    return f"{float(f'{value:.4g}'):g}" if isinstance(value, float) else value


def turned_table(rows: Sequence[Mapping[str, object]], heading: str) -> dg.MarkdownMetadataValue:
    """The same turned round: a line a field, a column a row; `heading` names the columns."""
    if not rows:
        return markdown_table([], [])
    names = [str(row[heading]) for row in rows]
    fields = [field for field in rows[0] if field != heading]
    turned = [{"field": field} | {name: row[field] for name, row in zip(names, rows, strict=True)} for field in fields]
    return markdown_table(["field", *names], turned)


def _cell(value: object) -> str:
    return "" if value is None else str(value).replace("|", "\\|").replace("\n", " ")


def bullets(lines: Sequence[str]) -> dg.MarkdownMetadataValue:
    """A list, one line each."""
    return dg.MetadataValue.md("\n".join(f"- {_cell(line)}" for line in lines))
