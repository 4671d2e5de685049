"""Names of fields as people write them (`Voxel size (x,y,z) [µm]`, `# slices`, `SizeZ`) → the spellings to look up."""

import re
from collections.abc import Iterator

_NAMES_OF = {
    "pixel_size": "pixel_size pixel_spacing nm_per_pixel",
    "voxel_size_zyx_nm": (
        "voxel_dimensions voxel_resolution nm_per_voxel sampling grid_spacing resolution_zyx voxel_size_zyx "
        "pixel_size_zyx spacing_zyx"
    ),
    "voxel_size_z_nm": (
        "physical_size_z voxel_size_z pixel_size_z resolution_z spacing_z scale_z z_resolution z_spacing "
        "z_step z_size z_voxel_size z_pixel_size axial_resolution slice_spacing section_spacing "
        "slice_distance milling_step step_size slice_step cutting_thickness"
    ),
    "voxel_size_y_nm": (
        "physical_size_y voxel_size_y pixel_size_y resolution_y spacing_y scale_y y_resolution y_spacing "
        "y_step y_size y_voxel_size y_pixel_size"
    ),
    "voxel_size_x_nm": (
        "physical_size_x voxel_size_x pixel_size_x resolution_x spacing_x scale_x x_resolution x_spacing "
        "x_step x_size x_voxel_size x_pixel_size"
    ),
    "voxel_size_yx_nm": (
        "xy_resolution resolution_xy lateral_resolution xy_pixel_size pixel_size_xy in_plane_resolution "
        "xy_spacing lateral_pixel_size"
    ),
    "shape_z": (
        "nz size_z n_z dim_z pixels_z n_slices n_sections n_planes n_pages n_images n_frames n_z_slices "
        "n_z_planes n_z_sections frames z_slices nslices"
    ),
    "shape_y": "ny size_y n_y dim_y pixels_y rows n_rows",
    "shape_x": "nx size_x n_x dim_x pixels_x columns n_columns",
    "shape_zyx": "matrix_size dimensions_zyx size_zyx image_size_zyx volume_size_zyx",
    "size": "pixels",
    "n_voxels": "voxels n_voxels voxel_count",
    "source_n_levels": (
        "n_levels n_scales n_resolutions n_resolution_levels n_arrays n_pyramid_levels n_multiscale_levels "
        "n_mips scales resolution_levels pyramid_levels multiscale_levels mip_levels"
    ),
    "extent_zyx_nm": "field_of_view fov physical_extent physical_dimensions real_size physical_volume extent_zyx",
    "source_bytes": "size_on_disk size_in_bytes total_file_size storage_size disk_size disk_usage",
    "dtype": "pixel_type datatype number_format numeric_type voxel_type encoding",
    "bit_depth": "bit_depth bits bits_per_pixel bits_per_voxel bits_per_sample bitdepth",
    "technique": (
        "microscopy microscopy_type microscopy_method microscopy_technique em_type em_technique em_method "
        "em_modality experiment_type imaging_type imaging_modality acquisition_method acquisition_technique "
        "method_of_acquisition acquisition_modality"
    ),
    "organism": "species animal model_organism taxonomy host organism_species scientific_name",
    "organism_taxon": "taxonomy_id ncbi_taxonomy_id taxid ncbi_taxid ncbi_taxon_id ncbi_id organism_taxid",
    "licence": "rights license_type licence_type usage_licence usage_license",
    "sample": "tissue brain_region region organ cell_line cell_type specimen",
    "instrument": "imaging_system microscope scope",
    "accelerating_voltage_kv": (
        "voltage landing_energy beam_energy hv high_voltage acceleration_voltage electron_energy "
        "primary_energy beam_voltage"
    ),
    "released_on": "publication_date date_released released published_on published",
    "deposited_on": "date_deposited deposited submission_date submitted_on",
    "acquired_at": "imaging_date date_acquired acquired imaged_on recording_date date_of_acquisition date_imaged",
    "is_isotropic": "isotropy is_isotropic isotropic_voxels has_isotropic_voxels",
    "anisotropy": (
        "anisotropic is_anisotropic anisotropy anisotropy_factor anisotropy_ratio voxel_aspect_ratio "
        "aspect_ratio z_to_xy_ratio"
    ),
    "content": "volume_type image_type kind_of_data layer_type data_content",
    "format": "format file_format file_type storage_format container_format file_extension",
    "chunk_shape": "chunk_shape chunk_size chunking block_size chunks_shape chunk_dimensions",
    "source_compressor": "compression codec compressor compression_codec",
    "dataset": "accession empiar_id idr_id accession_number accession_code",
}
"""What it is here → what further people call it, with `_` for blanks; counts begin with `n_`."""

FURTHER_NAMES = {name: field for field, names in _NAMES_OF.items() for name in names.split()}

_COUNTS = re.compile(r"(?:total_)?(?:number|no|num|nr|count|amount|n)_(?:of_)?(?:the_)?(.+)|(.+?)_(?:count|number)")
_QUALIFIERS = (
    "nominal", "image", "imaging", "data", "dataset", "volume", "stack", "raw", "em", "total", "original", "native",
    "specimen", "sample", "source", "array", "microscope", "full", "effective", "final", "overall",
)  # fmt: skip
_ENDINGS = ("name", "model", "value", "type", "used", "info")


def plain_name(name: str) -> str:
    """Small letters, digits and single underscores; `SizeX` in two words, axes in one, one sign for micro."""
    words = (
        re.sub(r"(?<=[a-z]{2})(?=[A-Z])", "_", name.strip()).casefold().replace("μ", "µ").replace("#", " number of ")
    )
    plain = re.sub(r"[^a-z0-9µå]+", "_", words).strip("_")
    return re.sub(r"(^|_)([xyz])_([xyz])_([xyz])(?=_|$)", r"\1\2\3\4", plain)


def spellings(plain: str) -> Iterator[str]:
    """The name itself, then as a count, then without words that only qualify it, the nearest first."""
    yield plain
    count = _COUNTS.fullmatch(plain)
    if count:
        thing = count[1] or count[2]
        yield f"n_{thing}"
        yield f"n_{thing}s"
    stem, _, last = plain.rpartition("_")
    if stem and last in _ENDINGS:
        yield stem
    first, _, rest = plain.partition("_")
    if rest and first in _QUALIFIERS:
        yield from spellings(rest)
