"""A scene as the JSON that neuroglancer reads: axes x, y, z, metres, its own words for layers and shaders."""

from collections.abc import Mapping, Sequence
from typing import Any

from em_assets.viewing.scene import PANEL_PIXELS, Contrast, Layer, Scene

NANOMETRE = 1e-9
GREY = "#uicontrol invlerp normalized\nvoid main() {\n  emitGrayscale(normalized());\n}\n"
LABELS_OPACITY = 0.4
ROOM_AROUND = 1.6
"""The 3-D panel is so much higher than the volume is long: seen from a corner it takes more room."""

FROM_A_CORNER = [0.3, 0.35, 0.13, 0.88]
"""A quaternion that tilts the three planes, so that none of them hides the other two."""


def state_of(scene: Scene, urls: Mapping[str, str]) -> dict[str, Any]:
    """What the viewer shows at first, layers being read from `urls`; a layer without one is left out."""
    names = ", ".join(layer.name for layer in scene.layers)
    return {
        "title": f"{scene.dataset}: {names}",
        "dimensions": _dimensions(scene),
        "position": list(_xyz(scene.middle_zyx)),
        "crossSectionScale": scene.scale,
        "projectionScale": scene.scale * PANEL_PIXELS * ROOM_AROUND,
        "projectionOrientation": FROM_A_CORNER,
        "hideCrossSectionBackground3D": True,
        "layers": [_layer(layer, urls[layer.name], scene) for layer in scene.layers if layer.name in urls],
        "layout": "4panel",
    }


def _dimensions(scene: Scene) -> dict[str, list[object]]:
    if scene.voxel_size_zyx_nm is None:
        return {axis: [1, ""] for axis in "xyz"}
    sizes = _xyz(scene.voxel_size_zyx_nm)
    return {axis: [size * NANOMETRE, "m"] for axis, size in zip("xyz", sizes, strict=True)}


def _layer(layer: Layer, url: str, scene: Scene) -> dict[str, Any]:
    shown: dict[str, Any] = {"type": layer.kind, "name": layer.name, "source": _source(url, scene)}
    if layer.kind == "segmentation":
        return {**shown, "selectedAlpha": LABELS_OPACITY}
    shown |= {"shader": GREY, "opacity": 1.0}
    return shown if layer.contrast is None else {**shown, "shaderControls": {"normalized": _range(layer.contrast)}}


def _source(url: str, scene: Scene) -> dict[str, Any]:
    """Where a layer's voxels are; in voxels, where a length on some axis is not known."""
    if scene.voxel_size_zyx_nm is not None:
        return {"url": url}
    voxels = {axis: [1, ""] for axis in "zyx"}
    return {"url": url, "transform": {"inputDimensions": voxels, "outputDimensions": voxels}}


def _range(contrast: Contrast) -> dict[str, list[float]]:
    return {"range": [contrast.black, contrast.white], "window": [contrast.least, contrast.largest]}


def _xyz(zyx: Sequence[float]) -> tuple[float, float, float]:
    z, y, x = zyx
    return (x, y, z)
