import json
from pathlib import Path

import pytest

from em_assets.catalog.dumps import dump_path, metadata_document, tags_text, write_dumps
from em_assets.catalog.schemas import CONFLICTS, FIELDS, ORIGINAL_TAGS
from em_assets.catalog.tables import concat, table_of_rows, tags_table
from em_assets.model import Tag

TAGS = [
    Tag("tags", "Name", "12", "utf-16 text"),
    Tag("tags", "Scale", 0.5, "float32"),
    Tag("tags", "Odd", float("nan"), "float32"),
    Tag("tags", "Few", [1, 2], "array(int16, 2)"),
]
ZARR = [
    Tag(".zattrs", "", {}, "json:object"),
    Tag("s0/.zarray", "shape", [4, 5, 6], "json:array"),
    Tag("s0/derived", "dtype", "int16", "derived"),
]
FIELD = {
    "dataset": "one",
    "volume": "em",
    "field": "voxel_size_z_nm",
    "value": "50.0",
    "unit": "nm",
    "kind": "file",
    "said_by": "a.dm3",
    "locator": "ImageList.1.Scale",
    "rule": "file > archive",
    "n_agree": 2,
    "n_disagree": 1,
    "is_unknown": False,
}
CONFLICT = {
    "dataset": "one",
    "volume": None,
    "field": "voxel_size_z_nm",
    "value": "50.0",
    "said_by": "a.dm3",
    "other_value": "8.0",
    "other_said_by": "https://example.org",
    "is_settled": True,
    "rule": "file before publisher",
}


def written(folder: Path, *files: tuple[str, list[Tag]]) -> dict[str, dict]:
    table = concat(ORIGINAL_TAGS, [tags_table(file, tags) for file, tags in files])
    write_dumps(folder, {"original_tags": table})
    root = folder / "tags"
    return {str(path.relative_to(root)): json.loads(path.read_text()) for path in root.rglob("*") if path.is_file()}


def test_a_file_and_each_zarr_node_have_their_own_tags(tmp_path: Path) -> None:
    found = written(tmp_path, ("a.dm3", TAGS), ("b.zarr", ZARR))
    assert sorted(found) == ["a.dm3.json", "b.zarr.json", "b.zarr/s0.json"]
    tags = found["a.dm3.json"]["containers"]["tags"]
    assert tags["Name"] == {"type": "utf-16 text", "value": "12"}
    assert tags["Scale"] == {"type": "float32", "value": 0.5}
    assert tags["Odd"]["value"] == "NaN"
    assert tags["Few"]["value"] == [1, 2]
    node = found["b.zarr/s0.json"]
    assert node["node"] == "s0"
    assert node["containers"]["s0/derived"]["dtype"]["value"] == "int16"


def test_the_same_tags_give_the_same_bytes_and_old_files_go(tmp_path: Path) -> None:
    written(tmp_path, ("a.dm3", TAGS), ("sub/b.dm3", TAGS))
    before = (tmp_path / "tags/a.dm3.json").read_bytes()
    assert sorted(written(tmp_path, ("a.dm3", TAGS))) == ["a.dm3.json"]
    assert (tmp_path / "tags/a.dm3.json").read_bytes() == before
    assert not (tmp_path / "tags/sub").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../../out",
        "/etc/passwd",
        "..",
        "",
        "a/../../b",
        "con",
        "a\\b",
        "x" * 300,
        "d/" * 600,
        "na\nme",
        "C:evil",
        " ..",
    ],
)
def test_no_name_from_outside_leaves_the_folder(tmp_path: Path, name: str) -> None:
    found = written(tmp_path / "kept", (name, TAGS), (name, [Tag("../../up/.zattrs", "a", 1, "json:number")]))
    assert len(found) == 2
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and tmp_path / "kept/tags" not in path.parents]
    assert outside == []


def test_names_that_would_become_one_stay_two() -> None:
    paths = {dump_path(file, node) for file, node in [("a:b", ""), ("a_b", ""), ("a?b", ""), ("a", "b"), ("a/b ", "")]}
    assert len(paths) == 5


def test_tags_without_a_container_or_quotes_in_them_are_still_json() -> None:
    text = tags_text('a"b', "", [Tag("", 'x"\n', 'y"', "text"), Tag("", "n", "null", "json:null")])
    document = json.loads(text)
    assert document["containers"][""] == {
        'x"\n': {"type": "text", "value": 'y"'},
        "n": {"type": "json:null", "value": None},
    }


def test_two_tags_of_one_path_are_both_there() -> None:
    document = json.loads(tags_text("a", "", [Tag("tags", "a", str(n), "json:number") for n in (7, 8, 9)]))
    assert [(path, tag["value"]) for path, tag in document["containers"]["tags"].items()] == [
        ("a", 7),
        ("a#2", 8),
        ("a#3", 9),
    ]


def test_metadata_json_has_each_value_with_its_witness_and_who_disagrees(tmp_path: Path) -> None:
    unknown = {"dataset": "one", "volume": "em", "field": "organism", "n_agree": 0, "n_disagree": 0, "is_unknown": True}
    of_all = FIELD | {"volume": None, "field": "n_files", "value": "16", "unit": None}
    fields = table_of_rows(FIELDS, [of_all, FIELD, unknown])
    conflicts = table_of_rows(CONFLICTS, [CONFLICT])
    write_dumps(tmp_path, {"fields": fields, "conflicts": conflicts})
    document = json.loads((tmp_path / "metadata.json").read_text())
    assert document == metadata_document(fields.to_pylist(), conflicts.to_pylist())
    z = document["volumes"]["em"]["voxel_size_z_nm"]
    assert (z["value"], z["unit"], z["n_agree"], z["rule"]) == (50.0, "nm", 2, "file > archive")
    assert z["witness"] == {"kind": "file", "said_by": "a.dm3", "locator": "ImageList.1.Scale"}
    assert z["conflicts"][0]["other_value"] == 8.0
    assert document["volumes"]["em"]["organism"]["value"] is None
    assert document["dataset_fields"]["n_files"]["value"] == 16
