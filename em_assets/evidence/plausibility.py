"""What physics and craft allow: each rule a small function with its reason (the docstring) and its source.

A rule looks at a volume's record and at what was claimed of it; rules of electron microscopy skip `fluorescence`.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, permutations

from em_assets.evidence.causes import DEFAULTS_NM, SLIP_TOLERANCE
from em_assets.evidence.fields import EXTENT_TOLERANCE, FIELDS
from em_assets.model import Claim, VolumeRecord

THINNEST_SECTION_NM = 20.0
THICKEST_MILLED_NM = 20.0
THINNEST_CUT_NM = 15.0
COARSEST_OF_A_PLANE = 1.5
"""One side of a pixel over the other: a tilted stage and a rescaling reach no further."""


@dataclass(frozen=True)
class Facts:
    """A volume's record, and every value that was claimed of its fields, by field."""

    record: VolumeRecord
    claimed: Mapping[str, Sequence[object]] = field(default_factory=dict)

    def lengths(self, name: str) -> list[float]:
        """Every length claimed of a field."""
        return sorted({value for value in self.claimed.get(name, ()) if isinstance(value, float)})


@dataclass(frozen=True)
class Rule:
    """A rule of plausibility: what it asks, why, and who says so."""

    ask: Callable[[Facts], str | None]
    source: str
    is_of_em: bool = True

    @property
    def name(self) -> str:
        """The function's name, as people read it."""
        return self.ask.__name__.replace("_", " ")

    @property
    def reason(self) -> str:
        """The first line of the function's docstring."""
        return (self.ask.__doc__ or "").strip().splitlines()[0]


@dataclass(frozen=True)
class Implausible:
    """A volume that breaks a rule: what was found, and why it cannot be."""

    dataset: str
    volume: str
    rule: str
    found: str
    reason: str
    source: str

    def __str__(self) -> str:
        return f"{self.volume}: {self.found}: {self.reason} [{self.source}]"


def implausible(records: Iterable[VolumeRecord], claims: Iterable[Claim] = ()) -> list[Implausible]:
    """Every rule that a volume breaks, in the records' order."""
    by_volume: dict[str | None, dict[str, list[object]]] = {}
    for claim in claims:
        rule = FIELDS.get(claim.field)
        value = rule.read(claim) if rule else None
        if value is not None:
            by_volume.setdefault(claim.volume, {}).setdefault(claim.field, []).append(value)
    found = []
    for record in records:
        own, common = by_volume.get(record.volume, {}), by_volume.get(None, {})
        claimed = {name: [*own.get(name, ()), *common.get(name, ())] for name in {*own, *common}}
        found += list(broken_rules(Facts(record, claimed)))
    return found


def broken_rules(facts: Facts) -> Iterator[Implausible]:
    """The rules that one volume breaks."""
    for rule in RULES:
        if rule.is_of_em and facts.record.content == "fluorescence":
            continue
        found = rule.ask(facts)
        if found:
            record = facts.record
            yield Implausible(record.dataset, record.volume, rule.name, found, rule.reason, rule.source)


def section_tem_has_thick_sections(facts: Facts) -> str | None:
    """Sections for a TEM are cut by a knife and must hold together on a grid: none is as thin as 20 nm."""
    z = facts.record.voxel_size_zyx_nm[0]
    if facts.record.technique in ("TEM", "ssTEM") and z is not None and z <= THINNEST_SECTION_NM:
        return f"{facts.record.technique} with a z step of {z:g} nm"
    return None


def fib_sem_mills_thin_slices(facts: Facts) -> str | None:
    """An ion beam mills a few nanometres at a time; a step above 20 nm belongs to a knife."""
    z = facts.record.voxel_size_zyx_nm[0]
    if facts.record.technique == "FIB-SEM" and z is not None and z > THICKEST_MILLED_NM * (1 + 1e-6):
        return f"FIB-SEM with a z step of {z:g} nm"
    return None


def sbf_sem_cuts_no_thin_slices(facts: Facts) -> str | None:
    """A diamond knife in the chamber cuts no reliable slice below 15 nm from a block that the beam has hardened."""
    z = facts.record.voxel_size_zyx_nm[0]
    if facts.record.technique == "SBF-SEM" and z is not None and z < THINNEST_CUT_NM:
        return f"SBF-SEM with a z step of {z:g} nm"
    return None


def voxel_sizes_differ_by_no_power_of_ten(facts: Facts) -> str | None:
    """Two measurements never differ by exactly 10, 1000 or a million: a unit was lost."""
    for axis in "zyx":
        for one, other in combinations(facts.lengths(f"voxel_size_{axis}_nm"), 2):
            factor = max(one, other) / min(one, other)
            if any(math.isclose(factor, slip, rel_tol=5e-3) for slip in (10.0, 1e3, 1e6)):
                return f"{one:g} nm and {other:g} nm claimed along {axis}, a factor of {round(factor)}"
    return None


def no_pixels_per_micrometre_for_a_length(facts: Facts) -> str | None:
    """TIFF keeps pixels a unit: a size and 1000 over it, both claimed, are one calibration read in two ways."""
    for axis in "yx":
        for one, other in combinations(facts.lengths(f"voxel_size_{axis}_nm"), 2):
            if math.isclose(one * other, 1e3, rel_tol=1e-3):
                return f"{one:g} nm and {other:g} nm claimed along {axis}: 1000 / {one:g} = {other:g}"
    return None


def z_is_not_copied_from_xy(facts: Facts) -> str | None:
    """A slice thickness that somebody witnessed is not the pixel size: software fills in the third axis with it."""
    z, y, x = facts.record.voxel_size_zyx_nm
    if z is None or y is None or x is None or not math.isclose(z, x, rel_tol=5e-3):
        return None
    others = [value for value in facts.lengths("voxel_size_z_nm") if not math.isclose(value, z, rel_tol=SLIP_TOLERANCE)]
    return f"z step {z:g} nm like x and y, while {others[0]:g} nm is claimed too" if others else None


def x_is_not_the_step_between_slices(facts: Facts) -> str | None:
    """The odd one of three voxel sides is the step between slices, which is z: x, y, z was written for z, y, x."""
    z, y, x = facts.record.voxel_size_zyx_nm
    if z is None or y is None or x is None or not math.isclose(z, y, rel_tol=5e-3):
        return None
    return f"voxels of {z:g} × {y:g} × {x:g} nm (z, y, x)" if x > y * COARSEST_OF_A_PLANE else None


def extent_is_shape_times_voxel(facts: Facts) -> str | None:
    """What a volume spans is how many voxels it has times how large they are."""
    record = facts.record
    if record.extent_zyx_nm is None or record.shape_zyx is None:
        return None
    sides = zip("zyx", record.extent_zyx_nm, record.shape_zyx, record.voxel_size_zyx_nm, strict=True)
    for axis, extent, voxels, size in sides:
        if size is not None and not math.isclose(extent, voxels * size, rel_tol=EXTENT_TOLERANCE):
            return f"{extent:g} nm along {axis}, and {voxels} voxels of {size:g} nm are {voxels * size:g} nm"
    return None


def page_order_is_axis_order(facts: Facts) -> str | None:
    """Pages × width × height is how viewers list a stack; arrays have the height before the width."""
    shape = list(facts.record.shape_zyx or ())
    orders = {order for order in permutations(shape) if list(order) != shape}
    for claimed in facts.claimed.get("shape_zyx", ()):
        if isinstance(claimed, list) and tuple(claimed) in orders:
            return f"shape {claimed} claimed, {shape} opened"
    return None


def voxel_size_is_no_default(facts: Facts) -> str | None:
    """1 nm, and 1, 72, 96 or 300 pixels an inch, are what readers answer where a file says nothing."""
    sizes = facts.record.voxel_size_zyx_nm
    in_plane = sizes[1:]
    for default in DEFAULTS_NM:
        if all(size is not None and math.isclose(size, default, rel_tol=1e-4) for size in in_plane):
            return f"pixels of {default:g} nm"
    return None


def voxel_of_an_electron_microscope(facts: Facts) -> str | None:
    """Electrons resolve ångström, and no electron microscope images tissue with pixels of 10 µm."""
    for axis, size in zip("zyx", facts.record.voxel_size_zyx_nm, strict=True):
        if size is not None and not 0.01 <= size <= 10_000:
            return f"a voxel of {size:g} nm along {axis}"
    return None


_PHYSICS = "rules of physics that catch published errors (facts file)"
_FORMATS = "format notes: DM, TIFF and ImageJ units"

RULES = (
    Rule(section_tem_has_thick_sections, _PHYSICS),
    Rule(fib_sem_mills_thin_slices, _PHYSICS),
    Rule(sbf_sem_cuts_no_thin_slices, _PHYSICS),
    Rule(voxel_of_an_electron_microscope, _PHYSICS),
    Rule(voxel_sizes_differ_by_no_power_of_ten, _PHYSICS, is_of_em=False),
    Rule(no_pixels_per_micrometre_for_a_length, _FORMATS, is_of_em=False),
    Rule(z_is_not_copied_from_xy, _PHYSICS, is_of_em=False),
    Rule(x_is_not_the_step_between_slices, _PHYSICS, is_of_em=False),
    Rule(extent_is_shape_times_voxel, _PHYSICS, is_of_em=False),
    Rule(page_order_is_axis_order, _FORMATS, is_of_em=False),
    Rule(voxel_size_is_no_default, _FORMATS, is_of_em=False),
)
