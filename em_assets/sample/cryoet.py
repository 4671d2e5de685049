"""cryoet_10001: one run of the cryoET data portal's tree, schema v1.1.0, with a tomogram and two annotations.

Titles, organism, people, dates, spacing and annotated objects are as the portal publishes them for dataset 10001 (its
ingestion configuration, github:chanzuckerberg/cryoet-data-portal-backend, ingestion_tools/dataset_configs/10001.yaml);
descriptions, methods and everything that counts voxels or points are the sample's own.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.sample.mrc import mrc_bytes
from em_assets.sample.sizes import CRYOET_N_POINTS, CRYOET_SHAPE_ZYX
from em_assets.sample.texture import lattice_noise, texture
from em_assets.sample.zarr_v2 import BLOSC_LZ4, clipped, pyramid, space_axes, write_array, write_group, write_json

BUCKET = "cryoet-data-portal-public"
RUN = "TS_0001"
VOXEL_ANGSTROM = 13.48
SPACING_PATH = f"10001/{RUN}/Tomograms/VoxelSpacing{VOXEL_ANGSTROM:.3f}"

_LABEL = "made-up voxels of the em_assets sample"
_DATES = {"deposition_date": "2023-04-01", "last_modified_date": "2023-06-01", "release_date": "2023-06-01"}
_AUTHORS = [
    {"name": "Irene de Teresa Trueba", "ORCID": "0000-0002-4691-9501", "primary_author_status": True},
    {"name": "Julia Mahamid", "ORCID": "0000-0001-6968-041X", "corresponding_author_status": True},
    {"name": "Judith B. Zaugg", "ORCID": "0000-0001-8324-4040", "corresponding_author_status": True},
]


def write_cryoet(s3_root: Path, seed: int) -> None:
    """The tree below the bucket; `Frames` holds a file that no reader of volumes has a use for."""
    bucket = s3_root / BUCKET
    write_json(bucket / "10001" / "dataset_metadata.json", _dataset())
    write_json(bucket / "10001" / RUN / "run_metadata.json", {"run_name": RUN})
    frames = bucket / "10001" / RUN / "Frames"
    frames.mkdir()
    (frames / f"{RUN}_0001_0.0.tif").write_bytes(b"a placeholder: frames are never fetched\n")
    tomogram = (texture(CRYOET_SHAPE_ZYX, seed).astype(np.float32) - 128) / np.float32(40)
    _write_tomogram(bucket / SPACING_PATH / "CanonicalTomogram", tomogram)
    _write_points(bucket / SPACING_PATH / "Annotations", seed)
    _write_mask(bucket / SPACING_PATH / "Annotations", seed)


def _write_tomogram(folder: Path, tomogram: NDArray[np.float32]) -> None:
    levels = pyramid(tomogram, 3, (0, 1, 2))
    _write_zarr(folder / f"{RUN}.zarr", levels)
    (folder / f"{RUN}.mrc").write_bytes(mrc_bytes(tomogram, VOXEL_ANGSTROM, _LABEL))
    scales = [dict(zip("zyx", level.shape, strict=True)) for level in levels]
    write_json(folder / "tomogram_metadata.json", _tomogram(scales))
    write_json(folder / "neuroglancer_config.json", {"layers": [], "title": f"{RUN} (sample)"})


def _write_points(folder: Path, seed: int) -> None:
    stem = "101-cytosolic_ribosome-1.0"
    random = np.random.default_rng(seed)
    z, y, x = (random.integers(1, size - 1, CRYOET_N_POINTS).tolist() for size in CRYOET_SHAPE_ZYX)
    points = [
        {"type": "point", "location": {"x": float(px), "y": float(py), "z": float(pz)}}
        for pz, py, px in zip(z, y, x, strict=True)
    ]
    folder.mkdir(parents=True)
    text = "".join(json.dumps(point) + "\n" for point in points)
    (folder / f"{stem}_point.ndjson").write_text(text, encoding="ascii")
    ribosome = {"id": "GO:0022626", "name": "cytosolic ribosome"}
    shapes = {"ndjson": f"{stem}_point.ndjson"}
    write_json(folder / f"{stem}.json", _annotation(ribosome, "hybrid", CRYOET_N_POINTS, "Point", shapes))


def _write_mask(folder: Path, seed: int) -> None:
    stem = "102-cytoplasm-1.0"
    noise = lattice_noise(CRYOET_SHAPE_ZYX, 32, 250, np.random.default_rng(seed))
    mask = (noise > -60).astype(np.int8)
    levels = [mask, mask[::2, ::2, ::2], mask[::4, ::4, ::4]]
    _write_zarr(folder / f"{stem}_segmentationmask.zarr", levels)
    (folder / f"{stem}_segmentationmask.mrc").write_bytes(mrc_bytes(mask, VOXEL_ANGSTROM, _LABEL))
    cytoplasm = {"id": "GO:0005737", "name": "cytoplasm"}
    shapes = {suffix: f"{stem}_segmentationmask.{suffix}" for suffix in ("mrc", "zarr")}
    write_json(folder / f"{stem}.json", _annotation(cytoplasm, "hybrid", 1, "SegmentationMask", shapes))


def _write_zarr(folder: Path, levels: list[NDArray[Any]]) -> None:
    datasets = []
    for number, level in enumerate(levels):
        write_array(folder / str(number), level, clipped(256, level.shape), BLOSC_LZ4)
        scale = {"scale": 3 * [VOXEL_ANGSTROM * 2**number], "type": "scale"}
        datasets.append({"coordinateTransformations": [scale], "path": str(number)})
    multiscale = {"axes": space_axes("angstrom"), "datasets": datasets, "name": "/", "version": "0.4"}
    write_group(folder, {"multiscales": [multiscale]})


def _dataset() -> dict[str, Any]:
    return {
        "dataset_identifier": 10001,
        "dataset_title": "S. pombe cells from Volta Phase Plate",
        "dataset_description": "A look-alike with made-up voxels, written by em_assets; not the published tomograms.",
        "authors": _AUTHORS,
        "dates": _DATES,
        "organism": {"name": "Schizosaccharomyces pombe", "taxonomy_id": 4896},
        "sample_type": "organism",
        "cross_references": {
            "publications": "doi:10.1101/2022.04.12.488077, doi:10.1038/s41592-022-01746-2",
            "related_database_entries": "EMPIAR-10988",
        },
    }


def _tomogram(scales: list[dict[str, int]]) -> dict[str, Any]:
    stem = f"{SPACING_PATH}/CanonicalTomogram/{RUN}"
    return {
        "voxel_spacing": VOXEL_ANGSTROM,
        "reconstruction_method": "WBP",
        "reconstruction_software": "IMOD",
        "fiducial_alignment_status": "NON_FIDUCIAL",
        "ctf_corrected": False,
        "processing": "raw",
        "tomogram_version": 1,
        "is_visualization_default": True,
        "offset": {"x": 0, "y": 0, "z": 0},
        "affine_transformation_matrix": [[int(row == column) for column in range(4)] for row in range(4)],
        "authors": _AUTHORS,
        "dates": _DATES,
        "run_name": RUN,
        "size": scales[0],
        "scales": scales,
        "omezarr_dir": f"{stem}.zarr",
        "mrc_files": [f"{stem}.mrc"],
    }


def _annotation(
    annotated: dict[str, str], method_type: str, object_count: int, shape: str, files: dict[str, str]
) -> dict[str, Any]:
    return {
        "annotation_object": annotated,
        "annotation_method": "made up by the sample of em_assets",
        "method_type": method_type,
        "object_count": object_count,
        "authors": _AUTHORS,
        "dates": _DATES,
        "version": 1.0,
        "ground_truth_status": False,
        "is_curator_recommended": False,
        "files": [
            {"format": suffix, "path": f"{SPACING_PATH}/Annotations/{name}", "shape": shape}
            for suffix, name in files.items()
        ],
    }
