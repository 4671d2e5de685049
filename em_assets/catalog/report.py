"""The catalog as two JSON documents: which tags occur where, and what the datasets have in common.

`consolidated_metadata` has the keys that people know from other tools, but counts datasets: sixteen slices of one
dataset are no sixteen datasets. `consolidated_report` groups and compares, with the findings in sentences.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from em_assets.catalog.categories import categories
from em_assets.catalog.isotropy import anisotropy, is_isotropic

if TYPE_CHECKING:
    import pyarrow as pa

UNKNOWN = "unknown"
MOST_EXAMPLES = 10

Row = Mapping[str, Any]


def consolidated_metadata(tables: "Mapping[str, pa.Table]") -> dict[str, Any]:
    """Categories of tags (first names of their paths), by the datasets and files that carry them."""
    carriers = categories(tables["tags"])
    shared = {category: of for category, of in carriers.items() if len(of) > 1}
    unique: dict[str, dict[str, list[str]]] = {}
    for category, of in carriers.items():
        for dataset in of if len(of) == 1 else ():
            unique.setdefault(dataset, {})[category] = _files_of(of)
    return {
        "summary": {
            "datasets_processed": tables["datasets"].num_rows,
            "files_processed": len({file for of in carriers.values() for file in _files_of(of)}),
            "total_categories_found": len(carriers),
            "categories_in_multiple_datasets": len(shared),
            "categories_unique_to_single_datasets": len(carriers) - len(shared),
        },
        "categories_in_multiple_datasets": [
            {
                "category_name": category,
                "n_datasets": len(of),
                "present_in_datasets": list(of),
                "present_in_files": _files_of(of),
            }
            for category, of in shared.items()
        ],
        "categories_unique_to_single_datasets": {
            dataset: {
                "count": len(found),
                "examples": list(found)[:MOST_EXAMPLES],
                "categories": [{"category_name": name, "present_in_files": files} for name, files in found.items()],
            }
            for dataset, found in sorted(unique.items())
        },
    }


def consolidated_report(tables: "Mapping[str, pa.Table]") -> dict[str, Any]:
    """What the datasets have in common and where they differ; every count is of datasets unless its name says not."""
    datasets, volumes = tables["datasets"].to_pylist(), tables["volumes"].to_pylist()
    fields, conflicts = tables["fields"].to_pylist(), tables["conflicts"].to_pylist()
    resolution = _resolution_analysis(volumes)
    techniques, organisms, licences = (_groups(volumes, field) for field in ("technique", "organism", "licence"))
    by_field = _fields(fields, conflicts)
    summary = {
        "n_datasets": len(datasets),
        "n_volumes": len(volumes),
        "n_files": tables["files"].num_rows,
        "source_bytes": sum(row["source_bytes"] for row in datasets),
        "n_tags": tables["tags"].num_rows,
        "n_claims": tables["claims"].num_rows,
        "n_conflicts": len(conflicts),
        "n_unsettled": sum(not row["is_settled"] for row in conflicts),
        "n_unknown_fields": sum(row["is_unknown"] for row in fields),
        "origins": sorted({row["origin"] for row in datasets}),
    }
    findings = _findings(summary, resolution, techniques, organisms, licences, by_field)
    return {
        "summary": summary | {"key_findings": findings},
        "fields": by_field,
        "resolution_analysis": resolution,
        "technique_groups": techniques,
        "organism_groups": organisms,
        "licence_groups": licences,
        "table": [_table_row(row) for row in volumes],
    }


def as_json(document: Mapping[str, Any]) -> str:
    """The document as text: the same bytes for the same catalog."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _files_of(in_datasets: Mapping[str, Iterable[str]]) -> list[str]:
    """Names of files alone would not do: two datasets may each have a `volumedata.tif`."""
    return [f"{dataset}/{file}" for dataset, files in in_datasets.items() for file in files]


def _fields(fields: Iterable[Row], conflicts: Iterable[Row]) -> dict[str, Any]:
    """Of each field: in how many volumes it is known, disputed or unsaid, and how many conflicts there are about it."""
    found: dict[str, dict[str, int]] = {}
    for row in fields:
        counts = found.setdefault(row["field"], dict.fromkeys(("n_known", "n_unknown", "n_disputed", "n_conflicts"), 0))
        counts["n_unknown" if row["is_unknown"] else "n_known"] += 1
        counts["n_disputed"] += bool(row["is_unknown"] and row["n_disagree"])
    for row in conflicts:
        # A claim may speak of a field that no record has.
        found.setdefault(row["field"], {"n_known": 0, "n_unknown": 0, "n_disputed": 0, "n_conflicts": 0})
        found[row["field"]]["n_conflicts"] += 1
    return dict(sorted(found.items()))


def _resolution_analysis(volumes: Sequence[Row]) -> dict[str, Any]:
    """Voxel by voxel; a dataset is isotropic when every volume of it is, unknown when a volume's voxel is."""
    rows = []
    by_dataset: dict[str, list[bool | None]] = {}
    for row in volumes:
        voxel_size = [row[f"voxel_size_{axis}_nm"] for axis in "zyx"]
        is_cube = is_isotropic(voxel_size)
        by_dataset.setdefault(row["dataset"], []).append(is_cube)
        rows.append(
            {
                "dataset": row["dataset"],
                "volume": row["volume"],
                "voxel_size_zyx_nm": voxel_size,
                "is_isotropic": is_cube,
                "anisotropy": anisotropy(voxel_size),
            }
        )
    isotropic = [name for name, found in by_dataset.items() if all(found)]
    anisotropic = [name for name, found in by_dataset.items() if False in found]
    return {
        "isotropic_datasets": isotropic,
        "anisotropic_datasets": anisotropic,
        "unknown_datasets": [name for name in by_dataset if name not in isotropic and name not in anisotropic],
        "volumes": rows,
    }


def _groups(volumes: Iterable[Row], key: str) -> dict[str, Any]:
    """Value → the datasets that have it; what nobody knows is a group of its own, the last one."""
    found: dict[str | None, dict[str, None]] = {}
    for row in volumes:
        found.setdefault(row[key], {})[row["dataset"]] = None
    ordered = sorted(found, key=lambda value: (value is None, value or ""))
    return {value or UNKNOWN: {"count": len(found[value]), "datasets": list(found[value])} for value in ordered}


def _table_row(row: Row) -> dict[str, Any]:
    first = {key: row[key] for key in ("dataset", "volume", "origin", "content", "technique", "organism", "dtype")}
    return first | {
        "shape_zyx": [row[f"shape_{axis}"] for axis in "zyx"],
        "voxel_size_zyx_nm": [row[f"voxel_size_{axis}_nm"] for axis in "zyx"],
        **{key: row[key] for key in ("source_bytes", "n_files", "source_chunks", "source_compressor")},
        **{key: row[key] for key in ("licence", "doi", "url")},
    }


def _findings(
    summary: Row,
    resolution: Row,
    techniques: Mapping[str, Any],
    organisms: Mapping[str, Any],
    licences: Mapping[str, Any],
    fields: Mapping[str, Any],
) -> list[str]:
    isotropic, total = resolution["isotropic_datasets"], summary["n_datasets"]
    never_known = [name for name, counts in fields.items() if not counts["n_known"] and counts["n_unknown"]]
    disputed = [name for name, counts in fields.items() if counts["n_disputed"]]
    findings = [
        f"{_count(total, 'dataset')} with {_count(summary['n_volumes'], 'volume')}: {summary['n_tags']} original tags "
        f"in {_count(summary['n_files'], 'file')}, {_count(summary['n_claims'], 'claim')}.",
        f"{len(isotropic)} of {_count(total, 'dataset')} {_is(len(isotropic))} isotropic{_named(isotropic)}.",
        *_extreme(resolution["volumes"]),
        f"Techniques: {_groups_in_words(techniques)}.",
        f"Organisms: {_groups_in_words(organisms)}.",
        f"Licences: {_groups_in_words(licences)}.",
        f"{_count(summary['n_conflicts'], 'conflict')} between sources, {summary['n_unsettled']} of them unsettled"
        f"{_named(disputed)}.",
        f"{_count(summary['n_unknown_fields'], 'field')} of volumes unknown; known of none of them: "
        f"{', '.join(never_known) or 'no field'}.",
    ]
    if "sample" in summary["origins"]:
        findings.insert(0, "The origin is sample: pixels, and every size that follows from them, are made up.")
    return findings if total else ["There is no dataset yet."]


def _extreme(volumes: Iterable[Row]) -> list[str]:
    known = [row for row in volumes if row["is_isotropic"] is False]
    if not known:
        return []
    worst = max(known, key=lambda row: (row["anisotropy"], row["dataset"], row["volume"]))
    size = " × ".join(f"{side:.4g}" for side in worst["voxel_size_zyx_nm"])
    return [
        f"The most anisotropic volume is {worst['dataset']} / {worst['volume']}: "
        f"{size} nm (z × y × x), {worst['anisotropy']:.3g} to 1."
    ]


def _groups_in_words(groups: Mapping[str, Any]) -> str:
    return ", ".join(f"{value} {group['count']}" for value, group in groups.items()) or "none"


def _named(names: Sequence[str]) -> str:
    return f" ({', '.join(names)})" if names else ""


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
