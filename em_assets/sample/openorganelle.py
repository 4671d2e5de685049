"""jrc_mus_liver and jrc_hela_2: N5 in the bucket of OpenOrganelle, and the records that it keeps of them.

Addresses, voxel sizes, axes, data types, titles, organisms, dates and identifiers are as the archive's records have
them (github:janelia-cellmap/fibsem-metadata, api/*/manifest.json); descriptions are the sample's own, and of each
record's many sources only the images are written. How the groups' attributes look is as the archive's own tools write
them (fibsem-tools); that these two groups carry them was not seen.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.sample.n5 import write_array, write_attributes
from em_assets.sample.sizes import CUTOUT_N_LEVELS, CUTOUT_SHAPE_ZYX
from em_assets.sample.texture import texture
from em_assets.sample.zarr_v2 import pyramid, write_json

BUCKET = "janelia-cosem-datasets"
LIVER_GROUP = "jrc_mus-liver/jrc_mus-liver.n5/em/fibsem-uint8"
HELA_GROUP = "jrc_hela-2/jrc_hela-2.n5/em/fibsem-uint16"
RECORDS = "raw.githubusercontent.com/janelia-cellmap/fibsem-metadata/stable/api"

_BLOCK_ZYX = (64, 64, 64)
_LIVER_ZYX_NM = (8.0, 8.0, 8.0)
_HELA_ZYX_NM = (5.24, 4.0, 4.0)


def write_openorganelle(s3_root: Path, http_root: Path, seed: int) -> None:
    """Both groups with their levels, and both records."""
    bucket = s3_root / BUCKET
    liver = texture(CUTOUT_SHAPE_ZYX, seed)
    hela = 65535 - texture(CUTOUT_SHAPE_ZYX, seed + 1).astype(np.uint16) * 150  # its viewer is told to invert it
    _write_group(bucket / LIVER_GROUP, liver, _LIVER_ZYX_NM)
    _write_group(bucket / HELA_GROUP, hela, _HELA_ZYX_NM)
    write_json(http_root / RECORDS / "jrc_mus-liver" / "manifest.json", _liver_record())
    write_json(http_root / RECORDS / "jrc_hela-2" / "manifest.json", _hela_record())


def _write_group(group: Path, voxels: NDArray[Any], voxel_zyx_nm: Sequence[float]) -> None:
    write_attributes(group.parents[1], {"n5": "2.0.0"})
    datasets = []
    for number, level in enumerate(pyramid(voxels, CUTOUT_N_LEVELS, (0, 1, 2))):
        transform = _transform(voxel_zyx_nm, 2**number)
        resolution = {"dimensions": transform["scale"][::-1], "unit": "nm"}
        write_array(group / f"s{number}", level, _BLOCK_ZYX, {"pixelResolution": resolution, "transform": transform})
        datasets.append({"path": f"s{number}", "transform": transform})
    attributes = {
        "axes": ["x", "y", "z"],
        "units": ["nm", "nm", "nm"],
        "scales": [[2**number] * 3 for number in range(CUTOUT_N_LEVELS)],
        "pixelResolution": {"dimensions": list(voxel_zyx_nm[::-1]), "unit": "nm"},
        "multiscales": [{"name": group.name, "datasets": datasets}],
    }
    write_attributes(group, attributes)


def _transform(voxel_zyx_nm: Sequence[float], factor: int) -> dict[str, Any]:
    return {
        "axes": ["z", "y", "x"],
        "units": ["nm", "nm", "nm"],
        "translate": [size * (factor - 1) / 2 for size in voxel_zyx_nm],
        "scale": [size * factor for size in voxel_zyx_nm],
    }


def _liver_record() -> dict[str, Any]:
    imaging = {
        "institution": "Janelia",
        "gridSpacing": {"unit": "nm", "values": {"x": 8.0, "y": 8.0, "z": 8.0}},
        "dimensions": {"unit": "µm", "values": {"x": 102.0, "y": 101.8, "z": 71.5}},
        "startDate": "2021-03-19",
        "primaryEnergy": 1200.0,
    }
    sample = {"organism": ["Mouse"], "type": ["Tissue"], "subtype": ["Liver"], "treatment": ["Wild-type"]}
    dois = [{"href": "https://doi.org/10.25378/janelia.16913047", "title": "EM"}]
    source = _source(LIVER_GROUP, _LIVER_ZYX_NM, is_inverted=False)
    return _record("jrc_mus-liver", "Mouse Liver", imaging, sample, dois, [], source)


def _hela_record() -> dict[str, Any]:
    imaging = {
        "institution": "Janelia",
        "gridSpacing": {"unit": "nm", "values": {"x": 4.0, "y": 4.0, "z": 5.24}},
        "dimensions": {"unit": "µm", "values": {"x": 48.0, "y": 6.0, "z": 33.0}},
        "startDate": "2017-06-21",
        "primaryEnergy": 900.0,
    }
    sample = {"organism": ["Human"], "type": ["Cell culture"], "subtype": ["HeLa"], "treatment": ["Wild-type"]}
    dois = [
        {"href": "https://doi.org/10.25378/janelia.13114211", "title": "EM"},
        {"href": "https://doi.org/10.25378/janelia.13108343", "title": "Segmentations"},
    ]
    papers = [
        {"href": "https://doi.org/10.1038/s41586-021-03992-4", "title": "Xu et al., 2021"},
        {"href": "https://doi.org/10.1038/s41586-021-03977-3", "title": "Heinrich et al., 2021"},
    ]
    source = _source(HELA_GROUP, _HELA_ZYX_NM, is_inverted=True)
    return _record("jrc_hela-2", "Interphase HeLa cell", imaging, sample, dois, papers, source)


def _record(
    name: str,
    title: str,
    imaging: dict[str, Any],
    sample: dict[str, Any],
    dois: list[dict[str, str]],
    papers: list[dict[str, str]],
    source: dict[str, Any],
) -> dict[str, Any]:
    description = "A look-alike of the archive's record, written by em_assets beside a volume of made-up voxels."
    metadata = {
        "title": title,
        "id": name,
        "imaging": imaging,
        "sample": {"description": description, **sample},
        "institution": ["HHMI/Janelia"],
        "DOI": dois,
        "publications": papers,
    }
    return {"name": name, "metadata": metadata, "sources": {source["name"]: source}, "views": []}


def _source(group: str, voxel_zyx_nm: Sequence[float], *, is_inverted: bool) -> dict[str, Any]:
    return {
        "name": group.rpartition("/")[2],
        "description": "FIB-SEM Data",
        "url": f"s3://{BUCKET}/{group}",
        "format": "n5",
        "transform": _transform(voxel_zyx_nm, 1),
        "sampleType": "scalar",
        "contentType": "em",
        "displaySettings": {"invertLUT": is_inverted},
        "subsources": [],
    }
