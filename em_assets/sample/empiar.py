"""empiar_11759: the DM3 slices with their real tags, what lies beside them, and the archive's record of the entry."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.sample.dm3 import dm3_bytes
from em_assets.sample.sizes import EMPIAR_SHAPE_ZYX
from em_assets.sample.texture import texture, within
from em_assets.sample.zarr_v2 import write_json

DATA_FOLDER = "ftp.ebi.ac.uk/empiar/world_availability/11759/data"
RECORD_FOLDER = "www.ebi.ac.uk/empiar/api/entry/11759"
SLICE_NAME = "F57-8_test1_3VBSED_slice_{:04d}.dm3"

_PIXELS = "ImageList.#1.ImageData.Data"
_THUMBNAIL = "ImageList.#0.ImageData.Data"
_LIMITS = ("EstimatedMin", "EstimatedMax")  # the real files have them the wrong way round
_XML = """<?xml version="1.0" encoding="UTF-8"?>
<!-- A look-alike written by em_assets: the archive keeps a TrakEM2 project here, of which only the place is copied. -->
<trakem2><project id="0" title="sample"/></trakem2>
"""


def tag_table() -> list[list[Any]]:
    """Every tag of the 16 slices as `[path, type, value]` in file order; the JSON says whence and how to read it."""
    text = files("em_assets.sample").joinpath("empiar_11759_tags.json").read_text(encoding="utf-8")
    rows: list[list[Any]] = json.loads(text)["tags"]
    return rows


def write_empiar(http_root: Path, seed: int) -> None:
    """The entry's `data/` folder and its record in the archive's API, below the folder of the HTTP hosts."""
    data = http_root / DATA_FOLDER
    (data / "trakem2").mkdir(parents=True)
    rows = tag_table()
    volume = texture(EMPIAR_SHAPE_ZYX, seed)
    for index, plane in enumerate(volume):
        (data / SLICE_NAME.format(index)).write_bytes(slice_bytes(rows, index, plane))
    (data / "F57-8_test1.xml").write_text(_XML, encoding="utf-8")
    (data / "trakem2" / "project.properties").write_text("title=sample\nslices=16\n", encoding="utf-8")
    n_bytes = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
    write_json(http_root / RECORD_FOLDER / "index.json", _record(n_bytes))


def slice_bytes(rows: list[list[Any]], index: int, plane: NDArray[np.uint8]) -> bytes:
    """One slice as a DM3 file with the real file's tags (`tag_table`), its thumbnail made from the pixels."""
    values = {path: value["each"][index] for path, _, value in rows if isinstance(value, dict)}
    display = "DocumentObjectList.#0.ImageDisplayInfo."
    low, high = sorted(int(values[display + name]) for name in _LIMITS)
    pixels = within(plane, low, high)
    width = values["ImageList.#0.ImageData.Dimensions.#0"]
    height = values["ImageList.#0.ImageData.Dimensions.#1"]
    return dm3_bytes(rows, index, {_THUMBNAIL: _thumbnail(pixels, height, width), _PIXELS: pixels})


def _thumbnail(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint32]:
    """The slice in grey as red, green and blue, at the size of the real thumbnail."""
    rows = np.arange(height) * pixels.shape[0] // height
    columns = np.arange(width) * pixels.shape[1] // width
    return pixels[np.ix_(rows, columns)].astype(np.uint32) * np.uint32(0x010101)


def _record(n_bytes: int) -> dict[str, Any]:
    """The archive's record: facts as published on 2025-06-11, the sizes those of the sample."""
    n_slices, height, width = EMPIAR_SHAPE_ZYX
    title = "Developing retina in zebrafish 55 hpf larval eye."
    author = {"author": {"author_orcid": None, "name": "Wilsch-Bräuninger M"}}
    place = {
        "author_orcid": None,
        "country": "Germany",
        "first_name": "Michaela",
        "last_name": "Wilsch-Bräuninger",
        "middle_name": None,
        "organization": "Max Planck Institute of Molecular Cell Biology and Genetics",
        "town_or_city": "Dresden",
    }
    imageset: dict[str, Any] = {
        "category": "reconstructed volumes",
        "data_format": "DM3",
        "details": "SBF-SEM, 8 nm/px in xy and 50 nm per section; FEI Magellan400 SEM with Gatan 3ViewXP at 1.9 kV.",
        "directory": "data",
        "frame_range_max": None,
        "frame_range_min": None,
        "frames_per_image": 1,
        "header_format": "DM3",
        "image_height": str(height),
        "image_width": str(width),
        "micrographs_file_pattern": "",
        "name": title,
        "num_images_or_tilt_series": n_slices,
        "picked_particles_directory": "",
        "picked_particles_file_pattern": "",
        "pixel_height": 80.0,
        "pixel_width": 80.0,
        "segmentations": [],
        "voxel_type": "UNSIGNED BYTE",
    }
    entry = {
        "authors": [author],
        "biostudies_references": [],
        "citation": [{"authors": [author["author"]], "doi": None, "published": False, "title": title, "year": None}],
        "corresponding_author": {"author": place},
        "cross_references": [],
        "dataset_size": f"{n_bytes / 1e6:.1f} MB",
        "deposition_date": "2023-11-01",
        "empiar_references": [],
        "entry_doi": "10.6019/EMPIAR-11759",
        "experiment_type": "SBF-SEM",
        "grant_references": [],
        "idr_references": [],
        "imagesets": [imageset],
        "obsolete_date": None,
        "principal_investigator": [{**place, "entry": "EMPIAR-11759"}],
        "release_date": "2024-01-15",
        "scale": "tissue",
        "status": "REL",
        "title": title,
        "update_date": "2024-01-15",
        "version_history": [],
        "workflow_file": None,
    }
    return {"EMPIAR-11759": entry}
