"""Every tag that another project's dumps of the real files hold is in `tags.parquet`, with an equal value.

The files are written here as their programs wrote them: DM3 slices at the sample's size, the TIFF stacks at full size
with holes for pixels, the Zarr groups as their metadata alone. Of the dumps only the levels' shapes go into them.
"""

import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from em_assets import building
from em_assets.catalog import tables
from em_assets.catalog.consolidate import consolidate
from em_assets.catalog.holdings import holdings
from em_assets.catalog.schemas import ORIGINAL_TAGS, TAGS
from em_assets.datasets import load
from em_assets.model import RawFile
from em_assets.sample import empiar, jrc
from em_assets.sample.tiff import Part, imagej_parts, itk_parts
from em_assets.sample.zarr_v2 import BLOSC_LZ4, ZSTD_1, write_group, write_json
from em_assets.settings import Settings
from em_assets.sources.manifest import FILES, write_manifest

U2OS = "Figure_S3B_FIB-SEM_U2OS_20x20x20nm_{}.tif"
U2OS_SHAPES = {"xy": (184, 775, 1121), "xz": (775, 184, 1121)}
EPFL_SHAPE = (1065, 1536, 2048)
EPFL_BYTES, U2OS_BYTES = 3_353_674_357, 319_864_790

TEXT_TYPES = ("ASCII", "utf-16 text", "json:string", "text")
SCALED = (".Size", ".Offset", "ImageList.1.ImageData.Dimensions.0", "ImageList.1.ImageData.Dimensions.1")
OF_ARRAYS = ("shape", "chunks", "order", "fill_value")
"""What an array's dump has from `.zarray` itself; the rest is a library's arithmetic."""


class Expected(NamedTuple):
    """A value of a dump, and where in the catalog it must be."""

    dataset: str
    file: str
    container: str
    path: str
    value: Any
    is_same: Callable[[Any, Any], bool] = lambda ours, golden: bool(ours == golden)


@pytest.fixture(scope="module")
def settings(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A store with the raw files of five datasets of a TOML folder, as if they had just been fetched."""
    root = tmp_path_factory.mktemp("golden")
    settings = Settings(store=root / "store", datasets=root / "datasets")
    root.joinpath("datasets").mkdir()
    for name, write in WRITERS.items():
        url = f"https://example.org/{name}" + (".zarr/" if name in ("jrc", "hemibrain") else "/")
        text = f'title = "{name}"\n[source]\nurl = "{url}"\n'
        root.joinpath("datasets", f"golden_{name}.toml").write_text(text)
        raw_dir = settings.raw_dir(f"golden_{name}")
        write(shared / "golden", raw_dir / FILES)
        write_manifest(raw_dir, [row(path, raw_dir / FILES) for path in files_below(raw_dir / FILES)], "0")
    return settings


@pytest.fixture(scope="module")
def catalogued(settings: Settings) -> dict[tuple[str, str, str, str], Any]:
    """The rows of `tags.parquet`, made from tags alone: (dataset, file, container, path) → value."""
    datasets = {name: one for name, one in load(settings).items() if name.startswith("golden_")}
    for name, dataset in datasets.items():
        table = building.original_tags(dataset, settings)
        tables.write_table(table, settings.metadata_dir(name) / "original_tags.parquet", ORIGINAL_TAGS)
    path = settings.catalog_dir / "tags.parquet"
    tables.write_table(consolidate(holdings(datasets, settings))[TAGS.name], path, TAGS)
    names = ("dataset", "file", "container", "path", "value", "type")
    rows = zip(*(pq.read_table(path, columns=[name])[name].to_pylist() for name in names), strict=True)
    return {(d, f, c, p): value_of(value, kind) for d, f, c, p, value, kind in rows}


def test_no_tag_of_the_golden_dumps_is_missing(
    shared: Path, catalogued: dict[tuple[str, str, str, str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    counts: dict[str, int] = {}
    missing: list[str] = []
    for expected in golden_tags(shared / "golden"):
        counts[expected.dataset] = counts.get(expected.dataset, 0) + 1
        key = (f"golden_{expected.dataset}", *expected[1:4])
        if key not in catalogued or not expected.is_same(catalogued[key], expected.value):
            missing.append(f"{key}: {expected.value!r:.60} expected, found {catalogued.get(key)!r:.60}")
    n_derived, n_pages = compare_derived(shared / "golden", catalogued)
    with capsys.disabled():
        of_each = ", ".join(f"{count} {name}" for name, count in counts.items())
        print(  # noqa: T201
            f"\ngolden dumps: {sum(counts.values())} tags ({of_each}), {len(missing)} missing; "
            f"{n_derived} derived values of {n_pages} pages equal"
        )
    assert missing[:5] == []
    assert n_pages == 184 + 775 + 1065


def golden_tags(golden: Path) -> Iterator[Expected]:
    for path in sorted(golden.glob("empiar_11759_metadata/*.json")):
        file = path.name.replace("_dm3_metadata.json", ".dm3")
        document = json.loads(path.read_text())
        for name, value in document["full_original_tags"].items():
            yield Expected("dm3", file, "tags", name.removeprefix("root."), value, same_text(name))
        yield Expected("dm3", file, "header", "version", document["file_version"])
    for name, file, document in stacks(golden):
        for page in document["pages"]:
            for tag, value in page["page_tiff_tags"].items():
                yield Expected(name, file, f"page {page['page_index']}", tag, value)
        for fact in ("is_bigtiff", "is_ome", "is_lsm", "is_fei", "byteorder", "pages_count"):
            yield Expected(name, file, "derived", fact, document["global_info"][fact])
    group = json.loads((golden / "jrc_mus_nacc_zarr_metadata.json").read_text())
    for path, value in leaves(group["attrs"]):
        yield Expected("jrc", "jrc.zarr", ".zattrs", path, value)
    for name, array in group["children"].items():
        yield from of_array("jrc", f"{name}/", array)
        yield Expected("jrc", "jrc.zarr", f"{name}/.zattrs", "", array["attrs"])
    bare = json.loads((golden / "hemibrain_ng_zarr_metadata.json").read_text())
    yield from of_array("hemibrain", "", bare)


def of_array(dataset: str, prefix: str, dump: dict[str, Any]) -> Iterator[Expected]:
    for key in sorted(dump.keys() - {"attrs"}):
        container = f"{prefix}.zarray" if key in OF_ARRAYS else f"{prefix}derived"
        yield Expected(dataset, f"{dataset}.zarr", container, key, dump[key])


def compare_derived(golden: Path, catalogued: dict[tuple[str, str, str, str], Any]) -> tuple[int, int]:
    """What a library adds to each page, found again from the page's tags; how many values, how many pages."""
    n_values = n_pages = 0
    for name, file, document in stacks(golden):
        for page in document["pages"]:
            number = page.pop("page_index")
            del page["page_tiff_tags"]
            container = f"page {number}"

            def tag(
                path: str, default: Any = None, at: tuple[str, str, str] = (f"golden_{name}", file, container)
            ) -> Any:
                return catalogued.get((*at, path), default)

            assert derived(tag) == page, (file, container)
            n_values, n_pages = n_values + len(page), n_pages + 1
    return n_values, n_pages


def derived(tag: Callable[..., Any]) -> dict[str, Any]:
    x, y = tag("XResolution"), tag("YResolution")
    starts, sizes = tag("StripOffsets"), tag("StripByteCounts")
    return {
        "shape": [tag("ImageLength"), tag("ImageWidth")],
        "dtype": f"uint{tag('BitsPerSample')}",
        "is_tiled": tag("TileWidth") is not None,
        "compression": tag("Compression", 1),
        "photometric": tag("PhotometricInterpretation"),
        "resolution": [x[0] / x[1], y[0] / y[1]] if x else [1.0, 1.0],
        "resolution_unit": tag("ResolutionUnit", 2),
        "is_contiguous": all(a + n == b for a, n, b in zip(starts[:-1], sizes[:-1], starts[1:], strict=True)),
        "is_subsampled": False,
        "image_description": tag("ImageDescription", ""),
    }


def stacks(golden: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for cut in ("xy", "xz"):
        file = U2OS.format(cut)
        dump = golden / "u2os_chromatin_metadata" / file.replace(".tif", "_tif_metadata.json.gz")
        yield "u2os", file, json.loads(gzip.decompress(dump.read_bytes()))
    yield (
        "epfl",
        "volumedata.tif",
        json.loads(gzip.decompress((golden / "epfl_hippocampus_tif_metadata.json.gz").read_bytes())),
    )


def leaves(document: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    is_list = isinstance(document, list) and any(isinstance(item, (dict, list)) for item in document)
    if not is_list and not isinstance(document, dict):
        yield path, document
        return
    for key, value in enumerate(document) if is_list else document.items():
        yield from leaves(value, f"{path}.{key}" if path else str(key))


def same_text(name: str) -> Callable[[Any, Any], bool]:
    """Whether our value is what Python's `str` made into the dump's text; the slices here are smaller ones."""
    if name.endswith(SCALED):
        return lambda ours, golden: ours is not None
    return lambda ours, golden: str(ours) == golden


def value_of(text: str, kind: str) -> Any:
    if kind in TEXT_TYPES:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def write_dm3(golden: Path, folder: Path) -> None:
    empiar.write_empiar(folder / "http", seed=1)
    for path in files_below(folder):
        if path.suffix == ".dm3":
            path.rename(folder / path.name)
        else:
            path.unlink()


def write_u2os(golden: Path, folder: Path) -> None:
    for cut, shape in U2OS_SHAPES.items():
        parts = imagej_parts(shape, 1, 0.02, 0.02, "\\u00B5m", (36.0, 199.0))
        write_sparse(folder / U2OS.format(cut), parts)
    assert sum(path.stat().st_size for path in files_below(folder)) == U2OS_BYTES


def write_epfl(golden: Path, folder: Path) -> None:
    write_sparse(folder / "volumedata.tif", itk_parts(EPFL_SHAPE))
    assert (folder / "volumedata.tif").stat().st_size == EPFL_BYTES


def write_jrc(golden: Path, folder: Path) -> None:
    write_group(folder, jrc._attributes())
    dump = json.loads((golden / "jrc_mus_nacc_zarr_metadata.json").read_text())
    for name, array in dump["children"].items():
        write_json(folder / name / ".zarray", zarray(array["shape"], array["chunks"], "<i2", ZSTD_1))
        write_json(folder / name / ".zattrs", {})


def write_hemibrain(golden: Path, folder: Path) -> None:
    write_json(folder / ".zarray", zarray([1000, 1000, 1000, 1], [63, 63, 125, 1], "<u8", BLOSC_LZ4))


WRITERS: dict[str, Callable[[Path, Path], None]] = {
    "dm3": write_dm3,
    "u2os": write_u2os,
    "epfl": write_epfl,
    "jrc": write_jrc,
    "hemibrain": write_hemibrain,
}


def zarray(shape: list[int], chunks: list[int], dtype: str, compressor: Any) -> dict[str, Any]:
    sizes = {"shape": shape, "chunks": chunks, "dtype": dtype}
    return sizes | {"compressor": compressor, "fill_value": 0, "filters": None, "order": "C", "zarr_format": 2}


def write_sparse(path: Path, parts: Iterable[Part]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for offset, data in parts:
            file.seek(offset)
            file.write(data)


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def row(path: Path, root: Path) -> RawFile:
    name = path.relative_to(root).as_posix()
    size = path.stat().st_size
    url = f"https://example.org/{name}"
    return RawFile(path=name, url=url, size_bytes=size, sha256="0" * 64, validator=None, source=0)
