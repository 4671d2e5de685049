"""`neuroglancer_config.json` of a tomogram that has none of the portal's."""

from typing import Any

from em_assets.layouts.cryoet_voxels import Voxels

METRES_PER_ANGSTROM = 1e-10


def viewer_config(run: str, voxels: Voxels) -> dict[str, Any]:
    """A viewer's state: the tomogram as its one layer, seen at its middle; the Zarr is named as it lies beside."""
    statistics = voxels.volume.statistics
    layer: dict[str, Any] = {"name": run, "type": "image", "source": f"zarr://{run}.zarr"}
    if statistics and statistics.mean is not None and statistics.std is not None:
        spread = 3 * statistics.std or 1.0
        shown = [statistics.mean - spread, statistics.mean + spread]
        layer["shaderControls"] = {"normalized": {"range": shown}}
    edge = [voxels.voxel_angstrom * METRES_PER_ANGSTROM, "m"]
    return {
        "dimensions": dict.fromkeys("xyz", edge),
        "position": [extent / 2 for extent in reversed(voxels.shape_zyx)],
        "layers": [layer],
        "selectedLayer": {"layer": run, "visible": True},
        "layout": "4panel",
    }
