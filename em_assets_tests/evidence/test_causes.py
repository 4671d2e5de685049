"""Each slip that people make is named from the values alone."""

from typing import Any

import pytest

from em_assets.evidence.causes import Case, factor_between, likely_cause

ISOTROPIC = {"voxel_size_zyx_nm": (4.0, 4.0, 4.0)}
THICK = {"voxel_size_zyx_nm": (30.0, 6.0, 6.0), "said_voxel_size_zyx_nm": (6.0, 6.0, 6.0)}
TURNED = {"voxel_size_zyx_nm": (30.0, 6.0, 7.0), "said_voxel_size_zyx_nm": (7.0, 6.0, 30.0)}


@pytest.mark.parametrize(
    ("field", "said", "true", "further", "cause"),
    [
        ("voxel_size_x_nm", 40.0, 4.0, ISOTROPIC, "ångström read as nanometre"),
        ("voxel_size_x_nm", 0.4, 4.0, ISOTROPIC, "nanometre read as ångström"),
        ("voxel_size_y_nm", 0.004, 4.0, ISOTROPIC, "micrometre read as nanometre"),
        ("voxel_size_y_nm", 4000.0, 4.0, ISOTROPIC, "nanometre read as micrometre"),
        ("voxel_size_y_nm", 4e-6, 4.0, ISOTROPIC, "millimetre read as nanometre"),
        ("voxel_size_x_nm", 250.0, 4.0, ISOTROPIC, "pixels per micrometre read as nanometre"),
        ("voxel_size_x_nm", 6.35e6, 4.0, ISOTROPIC, "pixels per inch read as nanometre"),
        ("voxel_size_x_nm", 1.0, 4.0, ISOTROPIC, "reader's default, not a measurement"),
        ("voxel_size_x_nm", 25.4e6 / 72, 4.0, ISOTROPIC, "reader's default, not a measurement"),
        ("voxel_size_x_nm", 16.0, 4.0, ISOTROPIC, "another level of the pyramid, or a binned copy"),
        ("voxel_size_x_nm", 5.1, 4.0, ISOTROPIC, None),
        ("voxel_size_z_nm", 6.0, 30.0, THICK, "z copied from xy"),
        ("voxel_size_z_nm", 7.0, 30.0, TURNED, "axis order turned: x, y, z written where z, y, x is meant"),
        ("shape_zyx", [90, 640, 480], [90, 480, 640], {}, "page order taken for array order: pages × width × height"),
        ("shape_zyx", [640, 480, 90], [90, 480, 640], {}, "axis order turned"),
        ("shape_zyx", [1, 480, 640], [90, 480, 640], {}, "slices counted as one"),
        ("shape_zyx", [45, 240, 320], [90, 480, 640], {}, "another level of the pyramid"),
        ("shape_zyx", [90, 490, 650], [90, 480, 640], {}, "another image size"),
        ("source_bytes", 100_000_000, 104_857_600, {}, "MiB written as MB"),
        ("source_bytes", 1_000_000, 1_000_000_000, {}, "one prefix too small"),
        ("source_bytes", 7000, 9000, {"other_bytes": {"notes.pdf": 7000}}, "another file of the same dataset"),
        ("source_bytes", 2000, 1000, {}, "the same voxels in another type, 2 times as wide"),
        ("source_n_levels", 5, 6, {}, "off by one"),
        ("technique", "TEM", "SBF-SEM", {}, "TEM used for any electron microscopy"),
        ("content", "labels", "em", {}, "a segmentation taken for the images"),
        ("dtype", "uint32", "uint8", {}, "the type of labels"),
        ("dtype", "uint16", "int16", {}, "the sign lost"),
        ("accelerating_voltage_kv", 2000.0, 2.0, {}, "volt read as kilovolt"),
        ("acquired_at", "2021-03-04", "2021-04-03", {}, "day and month exchanged"),
    ],
    ids=lambda value: str(value)[:24],
)  # fmt: skip
def test_a_slip_has_its_name(field: str, said: Any, true: Any, further: dict[str, Any], cause: str | None) -> None:
    found = likely_cause(Case(field, said, true, **further))
    assert found is None if cause is None else cause in str(found)


def test_the_factor_is_the_larger_over_the_smaller_and_one_for_all_axes() -> None:
    assert factor_between(8, 80.0) == factor_between(80.0, 8) == 10
    assert factor_between([2, 4, 6], [1, 2, 3]) == 2
    assert factor_between([2, 4, 6], [1, 2, 5]) is None
    assert (factor_between("a", 1), factor_between(0, 1), factor_between(True, 2)) == (None, None, None)
