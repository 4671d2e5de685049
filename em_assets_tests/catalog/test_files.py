"""Every raw file is listed with the format that reads it and the volume that it is part of."""

from em_assets.catalog.files import files_table
from em_assets.model import RawFile


def _file(path: str) -> RawFile:
    return RawFile(path=path, url="u", size_bytes=1, sha256="0" * 64, validator=None, source=0)


def test_a_file_in_a_marked_folder_belongs_to_what_the_folder_holds() -> None:
    files = [_file("a.zarr/0/.zarray"), _file("a.zarr/.zattrs"), _file("notes.txt")]
    table = files_table("d", "public", files, formats={"a.zarr": "ome_zarr"}, volumes={"em": ["a.zarr"]})
    assert [(row["path"], row["format"], row["volume"]) for row in table.to_pylist()] == [
        ("a.zarr/.zattrs", "ome_zarr", "em"),
        ("a.zarr/0/.zarray", "ome_zarr", "em"),
        ("notes.txt", None, None),
    ]


def test_a_file_of_two_volumes_names_both() -> None:
    (row,) = files_table(
        "d", "public", [_file("a.tif")], formats={"a.tif": "tiff"}, volumes={"b": ["a.tif"], "a": ["a.tif"]}
    ).to_pylist()
    assert row["volume"] == "a; b"


def test_a_whole_tree_is_one_volume() -> None:
    (row,) = files_table("d", "public", [_file("0/0/0")], formats={".": "ome_zarr"}, volumes={"em": ["."]}).to_pylist()
    assert (row["format"], row["volume"]) == ("ome_zarr", "em")
