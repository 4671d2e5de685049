"""What likely went wrong where two values differ: which slips are asked of which field, special ones first."""

from em_assets.evidence.cases import SLIP_TOLERANCE, Case, Cause, factor_between
from em_assets.evidence.slips_of_lengths import (
    DEFAULTS_NM,
    angstrom_read_as_nanometre,
    another_level,
    axis_order_of_voxel_turned,
    extent_scaled,
    micrometre_read_as_millimetre,
    micrometre_read_as_nanometre,
    millimetre_read_as_nanometre,
    pixels_per_unit_read_as_length,
    readers_default,
    volt_read_as_kilovolt,
    voxels_beside_nanometres,
    z_copied_from_xy,
)
from em_assets.evidence.slips_of_sizes import (
    another_frame,
    another_resolution,
    axis_order_of_shape_turned,
    binary_written_as_decimal,
    bits_or_other_type,
    bytes_of_another_file,
    count_of_a_part,
    day_and_month,
    instruments_own_name,
    off_by_one,
    one_word_for_all_electron_microscopy,
    other_species,
    page_order_taken_for_array_order,
    part_or_other_copy,
    prefix_of_bytes,
    segmentation_taken_for_images,
    single_slice,
    type_of_labels,
    voxels_not_files,
)

__all__ = ["CAUSES", "DEFAULTS_NM", "SLIP_TOLERANCE", "Case", "factor_between", "likely_cause"]


def likely_cause(case: Case) -> str | None:
    """The first cause that fits, in words; None where none does."""
    for cause in _causes_of(case.field):
        found = cause(case)
        if found:
            return found
    return None


_LENGTHS: tuple[Cause, ...] = (
    axis_order_of_voxel_turned,
    z_copied_from_xy,
    readers_default,
    angstrom_read_as_nanometre,
    micrometre_read_as_nanometre,
    millimetre_read_as_nanometre,
    pixels_per_unit_read_as_length,
    another_level,
)


CAUSES: dict[str, tuple[Cause, ...]] = {
    "shape_zyx": (
        single_slice,
        page_order_taken_for_array_order,
        axis_order_of_shape_turned,
        another_resolution,
        another_frame,
    ),
    "extent_zyx_nm": (voxels_beside_nanometres, extent_scaled),
    "source_bytes": (
        binary_written_as_decimal,
        bytes_of_another_file,
        prefix_of_bytes,
        bits_or_other_type,
        voxels_not_files,
        part_or_other_copy,
    ),
    "source_n_levels": (off_by_one, count_of_a_part),
    "n_files": (count_of_a_part,),
    "technique": (one_word_for_all_electron_microscopy,),
    "content": (segmentation_taken_for_images,),
    "dtype": (type_of_labels,),
    "instrument": (instruments_own_name,),
    "organism": (other_species,),
    "organism_taxon": (other_species,),
    "working_distance_mm": (micrometre_read_as_millimetre,),
    "accelerating_voltage_kv": (volt_read_as_kilovolt,),
    "acquired_at": (day_and_month,),
    "deposited_on": (day_and_month,),
    "released_on": (day_and_month,),
}


def _causes_of(field_name: str) -> tuple[Cause, ...]:
    return _LENGTHS if field_name.startswith("voxel_size_") else CAUSES.get(field_name, ())
