"""Slips that people make with lengths and voltages: each a small function that names one.

A slip is seen in the values alone, never in whose they are.
"""

import math
from itertools import permutations

from em_assets.evidence.cases import (
    SLIP_TOLERANCE,
    Case,
    are_all_near,
    factor_between,
    is_near,
    is_power_of_two,
)

DEFAULTS_NM = (1.0, 25.4e6, 25.4e6 / 72, 25.4e6 / 96, 25.4e6 / 300)
"""What readers answer for a voxel size that no file gave: 1 nm; 1, 72, 96 and 300 pixels an inch."""


def z_copied_from_xy(case: Case) -> str | None:
    """A stack calibrated in its plane alone: software fills the third axis with the pixel size."""
    _, y, x = case.voxel_size_zyx_nm
    if case.field != "voxel_size_z_nm" or x is None or y is None:
        return None
    said_y, said_x = case.said_voxel_size_zyx_nm[1:]
    in_plane = [value for value in (x, said_x, said_y) if value is not None]
    if is_near(x, y) and any(is_near(case.said, value) for value in in_plane) and not is_near(case.true, x):
        return "z copied from xy"
    return None


def axis_order_of_voxel_turned(case: Case) -> str | None:
    """x, y, z written where z, y, x is meant: each axis has another axis's size."""
    axis = "zyx".find(case.field.removeprefix("voxel_size_").removesuffix("_nm"))
    if axis < 0 or None in case.voxel_size_zyx_nm or None in case.said_voxel_size_zyx_nm:
        return None
    said, true = list(case.said_voxel_size_zyx_nm), list(case.voxel_size_zyx_nm)
    if are_all_near(said, true):
        return None
    if are_all_near(said, true[::-1]):
        return "axis order turned: x, y, z written where z, y, x is meant"
    if any(are_all_near(said, list(order)) for order in permutations(true)):
        return "axis order turned: the sizes of the axes are exchanged"
    return None


def readers_default(case: Case) -> str | None:
    """A reader must answer something: 1.0, or a printer's dots an inch, where the file gave nothing."""
    if any(is_near(case.said, default, 1e-4) for default in DEFAULTS_NM):
        return "reader's default, not a measurement"
    return None


def angstrom_read_as_nanometre(case: Case) -> str | None:
    """MRC, EMPIAR and cryo-EM write ångström; most others nanometres."""
    if is_near(case.ratio, 10):
        return "ångström read as nanometre"
    return "nanometre read as ångström" if is_near(case.ratio, 0.1) else None


def micrometre_read_as_nanometre(case: Case) -> str | None:
    """ImageJ and DM write µm; a number whose unit was dropped is off by 1000."""
    if is_near(case.ratio, 1e-3):
        return "micrometre read as nanometre"
    return "nanometre read as micrometre" if is_near(case.ratio, 1e3) else None


def millimetre_read_as_nanometre(case: Case) -> str | None:
    """Millimetres are a million nanometres, metres a thousand millions."""
    slips = {
        1e-6: "millimetre read as nanometre",
        1e6: "nanometre read as millimetre",
        1e-9: "metre read as nanometre",
        1e9: "nanometre read as metre",
        1e-4: "micrometre read as ångström",
        1e4: "ångström read as micrometre",
        1e-7: "centimetre read as nanometre",
        1e-10: "metre read as ångström",
    }
    return next((slip for factor, slip in slips.items() if is_near(case.ratio, factor)), None)


def micrometre_read_as_millimetre(case: Case) -> str | None:
    """In a field of millimetres: the same slip of 1000, under its own name."""
    if is_near(case.ratio, 1e3) or is_near(case.ratio, 1e-3):
        return "micrometre read as millimetre" if case.ratio > 1 else "metre read as millimetre"
    return "micrometre read as ångström" if is_near(case.ratio, 1e-4) else None


def volt_read_as_kilovolt(case: Case) -> str | None:
    """DM keeps volt, people write kilovolt."""
    if is_near(case.ratio, 1e3):
        return "volt read as kilovolt"
    return "kilovolt read as volt" if is_near(case.ratio, 1e-3) else None


def pixels_per_unit_read_as_length(case: Case) -> str | None:
    """TIFF keeps pixels a unit, not the unit's length a pixel: 50 px/µm are 20 nm."""
    units = {
        1e3: "pixels per micrometre",
        1e6: "pixels per millimetre",
        1e7: "pixels per centimetre",
        25.4e6: "pixels per inch",
    }
    if math.isnan(case.ratio):
        return None
    product = case.said * case.true
    return next((f"{name} read as nanometre" for nm, name in units.items() if is_near(product, nm, 5e-3)), None)


def another_level(case: Case) -> str | None:
    """Levels of a pyramid, and binned copies, have voxels 2, 4, 8, … times as large."""
    return "another level of the pyramid, or a binned copy" if is_power_of_two(case.ratio) else None


def voxels_beside_nanometres(case: Case) -> str | None:
    """A column that lists voxels in one row and nanometres in the next."""
    said = case.said
    if not isinstance(said, list) or case.shape_zyx is None:
        return None
    if any(are_all_near(said, list(order)) for order in permutations([float(n) for n in case.shape_zyx])):
        return "unit mix: voxels beside nanometres"
    return None


def extent_scaled(case: Case) -> str | None:
    """A slip of the unit in all three."""
    said, true = case.said, case.true
    if isinstance(said, list) and isinstance(true, list) and len(said) == len(true) == 3:
        factor = factor_between(said, true)
        if factor is not None:
            direction = said[0] / true[0]
            one = Case(case.field, direction, 1.0)
            return micrometre_read_as_nanometre(one) or angstrom_read_as_nanometre(one) or another_level(one)
        if sorted(said) != said and are_all_near(sorted(said), sorted(true), SLIP_TOLERANCE):
            return "axis order turned: the same extents along other axes"
        return "extent is not shape × voxel size: another crop, or another voxel size"
    return None
