"""The cryoET data portal's tree, schema v1.1.0: one run a volume, masks and points beside it.

::

    <identifier>/dataset_metadata.json
    <identifier>/<run>/run_metadata.json
    <identifier>/<run>/Tomograms/VoxelSpacing13.480/CanonicalTomogram/<run>.mrc, <run>.zarr, tomogram_metadata.json, …
    <identifier>/<run>/Tomograms/VoxelSpacing13.480/Annotations/101_cytoplasm_1.0_segmentationmask.zarr, …
    <identifier>/<run>/TiltSeries, Frames           only where they came in: what was never there is not made up

Lengths are ångström; the layout knows one voxel size a volume, so others are refused or, on request, resampled.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from em_assets.catalog.isotropy import is_isotropic
from em_assets.errors import EvidenceError, UnsupportedDataError
from em_assets.layouts.cryoet_came_in import CameIn, came_in
from em_assets.layouts.cryoet_documents import Own, resampling
from em_assets.layouts.cryoet_places import DATASET_DOCUMENT, RUN_DOCUMENT, TOMOGRAM_DOCUMENT, VIEWER_DOCUMENT
from em_assets.layouts.cryoet_schema import CLASSES, known
from em_assets.layouts.cryoet_sections import copy_frames, copy_tilt_series
from em_assets.layouts.cryoet_theirs import Described, Theirs, check_points
from em_assets.layouts.cryoet_viewer import viewer_config
from em_assets.layouts.cryoet_voxels import Voxels, write_voxels
from em_assets.layouts.held import Held
from em_assets.layouts.interface import Imported, Options, Takes, Written

TAKES: Takes = "one"

FIRST_NUMBER = 101
"""Of annotations that have no number of the portal's."""


def export(held: Sequence[Held], draft: Path, options: Options) -> Written:
    """Write a dataset as the portal's tree below `draft`.

    Raises
    ------
    FormatError
        What came from the portal contradicts itself: a version that is no number, points outside their tomogram.
    """
    (one,) = held
    if not one.records:
        return Written((f"{one.name}: no volume, so no tomogram",))
    tree = came_in(one)
    plan = _planned(one, tree, options)
    if not plan.tomograms:
        return Written(tuple(plan.refused), tuple(plan.notes))
    document = _dataset_document(plan)
    folder = draft / str(document["dataset_identifier"])
    _write_json(folder / DATASET_DOCUMENT, document)
    for tomogram in plan.tomograms:
        _write_tomogram(folder, tomogram)
    for mask in plan.masks:
        stem = mask.folder(folder) / mask.described.stem
        _write_json(stem.with_name(f"{stem.name}.json"), mask.described.document)
        name = f"{stem.name}_segmentationmask"
        write_voxels(mask.voxels, stem.with_name(f"{name}.zarr"), stem.with_name(f"{name}.mrc"))
    for points in plan.points:
        stem = points.folder(folder) / points.described.stem
        _write_json(stem.with_name(f"{stem.name}.json"), points.described.document)
        stem.with_name(f"{stem.name}{points.suffix}.ndjson").write_bytes(points.text)
    if plan.theirs:
        _copy_sections(plan, plan.theirs, folder)
    return Written(tuple(plan.refused), tuple(dict.fromkeys(plan.notes)))


def describe_tree(tree: str, name: str) -> Imported:
    """The TOML file that makes a dataset of a portal's tree, and what of the tree is left out.

    Raises
    ------
    FormatError
        The tree contradicts itself.
    SourceError
        It cannot be had.
    """
    from em_assets.layouts.cryoet_import import describe

    return describe(tree, name)


class _Tomogram(NamedTuple):
    run: str
    voxels: Voxels
    document: dict[str, Any]
    viewer: bytes | None

    @property
    def spacing(self) -> str:
        return f"VoxelSpacing{self.document['voxel_spacing']:.3f}"


class _Mask(NamedTuple):
    tomogram: _Tomogram
    voxels: Voxels
    described: Described

    def folder(self, root: Path) -> Path:
        return root / self.tomogram.run / "Tomograms" / self.tomogram.spacing / "Annotations"


class _Points(NamedTuple):
    tomogram: _Tomogram
    described: Described
    suffix: str
    text: bytes

    def folder(self, root: Path) -> Path:
        return root / self.tomogram.run / "Tomograms" / self.tomogram.spacing / "Annotations"


@dataclass
class _Plan:
    """All that will be written, every reason not to, and what is worth saying."""

    own: Own | None
    theirs: Theirs | None
    tomograms: list[_Tomogram] = field(default_factory=list)
    masks: list[_Mask] = field(default_factory=list)
    points: list[_Points] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _planned(held: Held, tree: CameIn | None, options: Options) -> _Plan:
    theirs = Theirs(tree) if tree else None
    plan = _Plan(None if tree else Own(held), theirs)
    lacking = theirs.dataset().missing if theirs else plan.own.unsaid() if plan.own else ()
    if lacking:
        plan.refused.append(f"{held.name}: the schema demands what nobody says: {'; '.join(lacking)}")
        return plan
    if theirs:
        plan.notes = theirs.notes
    chosen: dict[str, _Tomogram] = {}
    for record in held.records:
        if record.content == "labels" or _is_tilt_series(record.volume, plan):
            continue
        found = _tomogram(held, record.volume, plan, options)
        if isinstance(found, str):
            plan.refused.append(f"{held.name}/{record.volume}: {found}")
        elif any((other.run, other.spacing) == (found.run, found.spacing) for other in chosen.values()):
            plan.refused.append(f"{held.name}/{record.volume}: a run has one canonical tomogram a spacing")
        else:
            chosen[record.volume] = found
    plan.tomograms = list(chosen.values())
    _plan_masks(held, plan, chosen, options)
    _plan_points(plan)
    return plan


def _is_tilt_series(volume: str, plan: _Plan) -> bool:
    """Whether it goes out as the files that came, with its run."""
    place = plan.theirs.came_in.volumes.get(volume) if plan.theirs else None
    return place is not None and place.section == "tiltseries"


def _dataset_document(plan: _Plan) -> dict[str, Any]:
    if plan.theirs is not None:
        return plan.theirs.dataset().document
    assert plan.own is not None
    return plan.own.dataset([tomogram.voxels for tomogram in plan.tomograms])


def _tomogram(held: Held, volume: str, plan: _Plan, options: Options) -> _Tomogram | str:
    """A volume as the layout's tomogram; the reason where it cannot be one."""
    voxels = _voxels(held, volume, options)
    if isinstance(voxels, str):
        return voxels
    if plan.theirs is None:
        assert plan.own is not None
        if voxels.is_resampled:
            plan.notes.append(f"{held.name}/{volume}: {resampling(voxels)}")
        return _Tomogram(volume, voxels, plan.own.tomogram(voxels), None)
    place = plan.theirs.came_in.volumes.get(volume)
    if place is None or place.section != "tomogram" or place.run is None:
        return "it came from no place of a tomogram in the portal's tree"
    found = plan.theirs.tomogram(place)
    if found.missing:
        return f"{place.folder}/{TOMOGRAM_DOCUMENT}: {'; '.join(found.missing)}"
    document = found.document | {"voxel_spacing": voxels.voxel_angstrom} if voxels.is_resampled else found.document
    said = document["voxel_spacing"]
    if abs(said - voxels.voxel_angstrom) > 5e-4:
        return f"{place.folder}/{TOMOGRAM_DOCUMENT} says voxels of {said} Å, the volume has {voxels.voxel_angstrom} Å"
    return _Tomogram(place.run, voxels, document, plan.theirs.viewer(place))


def _voxels(held: Held, volume: str, options: Options) -> Voxels | str:
    """What is written of a volume; the reason where the layout cannot keep it."""
    opened = held.volume(volume)
    if opened.content not in ("em", "labels"):
        return f"{opened.content} voxels: the layout has tomograms and masks only"
    try:
        size = opened.require_voxel_size()
    except EvidenceError as error:
        return str(error)
    is_cube = bool(is_isotropic(size))
    if not is_cube and not options.resample_isotropic:
        shown = " × ".join(f"{length:g}" for length in size)
        return (
            f"voxels of {shown} nm (z, y, x) are no cubes, and the layout has one voxel_spacing for all three axes; "
            "--resample-isotropic resamples them"
        )
    voxels = Voxels(opened, min(size) if not is_cube else sorted(size)[1], not is_cube)
    try:
        _ = voxels.mrc_dtype
    except UnsupportedDataError as error:
        return str(error)
    return voxels


def _plan_masks(held: Held, plan: _Plan, tomograms: dict[str, _Tomogram], options: Options) -> None:
    for index, record in enumerate(record for record in held.records if record.content == "labels"):
        found = _mask(held, record.volume, tomograms.get(record.labels_of or ""), plan, options, FIRST_NUMBER + index)
        if isinstance(found, str):
            plan.refused.append(f"{held.name}/{record.volume}: {found}")
        else:
            plan.masks.append(found)


def _mask(
    held: Held, volume: str, tomogram: _Tomogram | None, plan: _Plan, options: Options, number: int
) -> _Mask | str:
    if tomogram is None:
        return "the volume that it labels is not exported"
    voxels = _voxels(held, volume, options)
    if isinstance(voxels, str):
        return voxels
    if voxels.volume.dtype.kind not in "iu":
        return f"{voxels.volume.dtype.name} voxels: a mask of whole numbers expected"
    if voxels.shape_zyx != tomogram.voxels.shape_zyx:
        return f"shape {voxels.shape_zyx} (z, y, x), its tomogram has {tomogram.voxels.shape_zyx}"
    if plan.theirs is not None:
        place = plan.theirs.came_in.volumes.get(volume)
        described = plan.theirs.annotation(place) if place else "it came from no place in the portal's tree"
        return described if isinstance(described, str) else _Mask(tomogram, voxels, described)
    assert plan.own is not None
    document, unsaid = plan.own.annotation(voxels)
    lacking = unsaid or known(CLASSES["Annotation"], document).missing
    if lacking:
        return f"the schema demands what nobody says: {'; '.join(lacking)}"
    return _Mask(tomogram, voxels, Described(number, "1.0", document))


def _plan_points(plan: _Plan) -> None:
    for found in plan.theirs.points() if plan.theirs else ():
        if isinstance(found, str):
            plan.refused.append(found)
            continue
        beside = [one for one in plan.tomograms if one.run == found.place.run and _is_spaced(one, found.place.spacing)]
        if not beside:
            plan.refused.append(f"{found.place.path}: no tomogram of its run and spacing is exported")
        elif beside[0].voxels.is_resampled:
            plan.refused.append(f"{found.place.path}: points count voxels, and those of its tomogram were resampled")
        else:
            check_points(found.place, found.text, beside[0].voxels.shape_zyx)
            plan.points.append(_Points(beside[0], found.described, found.suffix, found.text))


def _is_spaced(tomogram: _Tomogram, spacing: str | None) -> bool:
    return spacing is not None and abs(tomogram.document["voxel_spacing"] - float(spacing)) < 1e-3


def _write_tomogram(root: Path, tomogram: _Tomogram) -> None:
    run = tomogram.run
    _write_json(root / run / RUN_DOCUMENT, {"run_name": run})
    folder = root / run / "Tomograms" / tomogram.spacing / "CanonicalTomogram"
    folder.mkdir(parents=True)
    write_voxels(tomogram.voxels, folder / f"{run}.zarr", folder / f"{run}.mrc")
    _write_json(folder / TOMOGRAM_DOCUMENT, tomogram.document)
    if tomogram.viewer is None:
        _write_json(folder / VIEWER_DOCUMENT, viewer_config(run, tomogram.voxels))
    else:
        (folder / VIEWER_DOCUMENT).write_bytes(tomogram.viewer)


def _copy_sections(plan: _Plan, theirs: Theirs, root: Path) -> None:
    """Tilt series and frames of the runs that are exported; of the others they are refused."""
    exported = {tomogram.run for tomogram in plan.tomograms}
    sections = {
        place.run: None for place in theirs.came_in.places() if place.run and place.section in ("tiltseries", "frames")
    }
    for run in sections:
        if run in exported:
            plan.refused += copy_tilt_series(theirs, run, root / run)
            plan.refused += copy_frames(theirs.came_in, run, root / run)
        else:
            plan.refused.append(f"{run}: no tomogram of it is exported, so its tilt series and frames are not")


def _write_json(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
