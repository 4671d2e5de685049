"""Questions that are asked often, as views beside the catalog's tables."""

from typing import NamedTuple

from em_assets.catalog.isotropy import ISOTROPY_TOLERANCE


class View(NamedTuple):
    """One view: its name, what a row of it is, the tables it needs, and its SQL."""

    name: str
    meaning: str
    tables: tuple[str, ...]
    sql: str


_SIZES = "voxel_size_z_nm, voxel_size_y_nm, voxel_size_x_nm"

VIEWS = (
    View(
        "anisotropic_volumes",
        "a volume whose voxel is not as deep as it is wide; `anisotropy` is its longest side over its shortest",
        ("volumes",),
        f"SELECT dataset, volume, {_SIZES}, anisotropy FROM "
        f"(SELECT *, greatest({_SIZES}) / least({_SIZES}) AS anisotropy FROM volumes "
        # greatest and least leave nulls out
        "WHERE voxel_size_z_nm + voxel_size_y_nm + voxel_size_x_nm IS NOT NULL) "
        f"WHERE anisotropy > {1 + ISOTROPY_TOLERANCE} ORDER BY dataset, volume",
    ),
    View(
        "unknown_fields",
        "a field of a volume that has no value; `n_disagree` is above 0 where that is because sources disagree",
        ("fields",),
        "SELECT dataset, volume, field, rule, n_agree, n_disagree FROM fields WHERE is_unknown "
        "ORDER BY dataset, volume NULLS FIRST, field",
    ),
    View(
        "known_fields",
        "a field of a volume that has a value, and its witness",
        ("fields",),
        "SELECT * EXCLUDE (is_unknown) FROM fields WHERE NOT is_unknown ORDER BY dataset, volume NULLS FIRST, field",
    ),
    View(
        "unsettled_conflicts",
        "two claims that differ and that no rule decides between",
        ("conflicts",),
        "SELECT * FROM conflicts WHERE NOT is_settled ORDER BY dataset, volume NULLS FIRST, field",
    ),
    View(
        "tag_paths",
        "a path of tags, with the numbers of groups and pages taken out: how many datasets and files carry it",
        ("tags",),
        r"SELECT regexp_replace(path, '(^|\.)\d+\b', '\1*', 'g') AS path, count(DISTINCT dataset) AS n_datasets, "
        "count(DISTINCT (dataset, file)) AS n_files, count(*) AS n_tags FROM tags GROUP BY ALL ORDER BY ALL",
    ),
)
