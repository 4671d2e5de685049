"""Metadata that was made to hurt: what it costs is measured in a child that may take 2 GB, 10 s and one file."""

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

LIMIT_BYTES, LIMIT_S = 2 * 10**9, 10

READER = """
import json, resource, sys, time
from pathlib import Path
import numpy, tensorstore
from em_assets.errors import EMAssetsError
from em_assets.formats import detect, open_path, read_tags
from em_assets.formats.tiff import open_volumes
import xml.etree.ElementTree

path = sys.argv[1]
opened = []
sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)
began, answer = time.process_time(), {}
for name, work in {
    "tags": lambda: len(list(detect(path).witnesses(tags := list(read_tags(path)))) and tags or list(read_tags(path))),
    "volumes": lambda: [list(volume.shape_zyx) for volume in open_path(path)],
}.items():
    try:
        answer[name] = work()
    except EMAssetsError as error:
        answer[name] = f"{type(error).__name__}: {error}"
root = str(Path(path).parent)
answer["seconds"] = time.process_time() - began
answer["bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
answer["opened"] = sorted({name for name in opened if name.startswith(str(Path(root).parent))})
print(json.dumps(answer))
"""


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str, bytes], dict]:
    """Reads tags, witnesses and volumes of a file of this name; checks time, memory and which files were opened."""

    def run(name: str, content: bytes) -> dict:
        folder = tmp_path / "inside"
        folder.mkdir()
        path = folder / name
        path.write_bytes(content)
        return measured(path)

    return run


def measured(path: Path) -> dict:
    done = subprocess.run([sys.executable, "-c", READER, str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout)
    assert answer["seconds"] < LIMIT_S
    assert answer["bytes"] < LIMIT_BYTES
    outside = [name for name in answer["opened"] if Path(name) != path and path not in Path(name).parents]
    assert outside == []
    return answer


def dm3(body: bytes) -> bytes:
    return struct.pack(">3i", 3, len(body) + 4, 1) + body + bytes(8)


def number(name: bytes, value: int) -> bytes:
    return b"\x15" + struct.pack(">H", len(name)) + name + b"%%%%" + struct.pack(">2i", 1, 3) + struct.pack("<i", value)


def group(*entries: bytes) -> bytes:
    return struct.pack(">2xi", len(entries)) + b"".join(entries)


def described(description: str, extra: bytes = b"") -> bytes:
    """A TIFF of one 4 × 4 page with this description."""
    import io

    stream = io.BytesIO()
    tifffile.imwrite(
        stream,
        np.zeros((4, 4), np.uint8),
        description=description.encode("utf-8"),
        metadata=None,
        photometric="minisblack",
    )
    return stream.getvalue() + extra


def test_a_group_of_four_hundred_tags_without_names_numbers_them(read: Callable[[str, bytes], dict]) -> None:
    answer = read("a.dm3", dm3(group(*(number(b"", value) for value in range(400)))))
    assert answer["tags"] == 400 + 2
    assert "found none" in answer["volumes"]


def test_eighty_thousand_empty_groups_cost_little(read: Callable[[str, bytes], dict]) -> None:
    assert read("a.dm3", dm3(group(*[b"\x14\0\0" + group()] * 80_000)))["tags"] == 80_002


@pytest.mark.parametrize(
    "description",
    [
        "ImageJ=1.52p\nimages=100000000\nslices=100000000\n",
        "ImageJ=1.52p\nimages=100000000\nchannels=100000000\n",
        "ImageJ=1.52p\nimages=100000000\nframes=10000\nslices=10000\n",
    ],
    ids=["slices", "channels", "frames"],
)
def test_a_claim_of_a_hundred_million_planes_is_refused(read: Callable[[str, bytes], dict], description: str) -> None:
    answer = read("a.tif", described(description))
    assert answer["volumes"].startswith("FormatError")
    assert "a.tif" in answer["volumes"]


def ome(sizes: str, inside: str) -> str:
    space = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    pixels = f'<Pixels ID="p" DimensionOrder="XYZCT" Type="uint8" SizeX="4" SizeY="4" {sizes}>{inside}</Pixels>'
    return f'<?xml version="1.0"?><OME xmlns="{space}"><Image ID="i">{pixels}</Image></OME>'


@pytest.mark.parametrize(
    ("sizes", "inside"),
    [
        ('SizeZ="100000000" SizeC="1" SizeT="1"', ""),
        ('SizeZ="16000000" SizeC="16000000" SizeT="16000000"', '<TiffData IFD="0" PlaneCount="1"/>'),
        (
            'SizeZ="16000000" SizeC="16000000" SizeT="16000000"',
            '<TiffData IFD="0" PlaneCount="1"/><TiffData><UUID FileName="b.tif">urn:uuid:b</UUID></TiffData>',
        ),
        ('SizeZ="1" SizeC="1" SizeT="1"', '<TiffData IFD="0" PlaneCount="1"/>' * 300_000),
    ],
    ids=["one axis", "all axes", "other files", "one page over and over"],
)
def test_ome_xml_that_claims_planes_without_end_is_refused_or_cut_down(
    read: Callable[[str, bytes], dict], sizes: str, inside: str
) -> None:
    answer = read("a.ome.tif", described(ome(sizes, inside)))
    assert str(answer["volumes"]).startswith("FormatError") or answer["volumes"] == [[1, 4, 4]]


def test_files_that_ome_xml_names_are_never_opened(tmp_path: Path) -> None:
    """Neither beside the file nor outside of its folder: this file has its own plane, and that is all there is."""
    folder = tmp_path / "inside"
    folder.mkdir()
    for place in (tmp_path / "secret.tif", folder / "beside.tif"):
        tifffile.imwrite(place, np.ones((4, 4), np.uint8))
    names = ["../secret.tif", str(tmp_path / "secret.tif"), "beside.tif", "file:///etc/passwd"]
    entries = "".join(
        f'<TiffData FirstZ="{z}" IFD="0"><UUID FileName="{name}">urn:uuid:{z}</UUID></TiffData>'
        for z, name in enumerate(["a.ome.tif", *names])
    )
    path = folder / "a.ome.tif"
    path.write_bytes(described(ome('SizeZ="5" SizeC="1" SizeT="1"', entries)))
    answer = measured(path)
    assert answer["opened"] == [str(path)]
    assert answer["volumes"] == [[1, 4, 4]]


def test_text_that_is_not_utf_8_is_kept_or_named(read: Callable[[str, bytes], dict]) -> None:
    content = described("scale 5 um").replace(b"scale 5 um", b"scale 5 \xb5m")
    assert read("a.tif", content)["volumes"] == [[1, 4, 4]]


def test_json_that_is_not_utf_8_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "inside" / "a.zarr"
    folder.mkdir(parents=True)
    folder.joinpath(".zgroup").write_text('{"zarr_format": 2}')
    folder.joinpath(".zattrs").write_bytes(b'{"unit": "\xb5m"}')
    answer = measured(folder)
    assert answer["tags"].startswith("FormatError")
    assert ".zattrs" in answer["tags"]


@pytest.mark.parametrize("is_list", [False, True], ids=["keys", "a list of one empty dict and many numbers"])
def test_a_document_of_millions_of_values_is_refused(tmp_path: Path, is_list: bool) -> None:
    folder = tmp_path / "inside" / "a.zarr"
    folder.mkdir(parents=True)
    folder.joinpath(".zgroup").write_text('{"zarr_format": 2}')
    keys = "{" + ",".join(f'"{n:x}":1' for n in range(2_500_000)) + "}"
    folder.joinpath(".zattrs").write_text('{"a":[{}' + ",1" * 4_000_000 + "]}" if is_list else keys)
    assert "at most 1000000 values" in measured(folder)["tags"]


def test_tags_that_all_point_at_one_large_text_are_refused(tmp_path: Path) -> None:
    """A hole of 1 GB costs nothing to make: 200 tags that each declare it would fill the memory."""
    folder = tmp_path / "inside"
    folder.mkdir()
    path = folder / "a.tif"
    entries = b"".join(struct.pack("<HHII", 60_000 + n, 2, 10**9, 4096) for n in range(200))
    with path.open("wb") as file:
        file.write(b"II*\0" + struct.pack("<IH", 8, 200) + entries + bytes(4))
        file.truncate(4096 + 10**9)
    answer = measured(path)
    assert "tags of at most" in answer["tags"]
    assert "page 0" in answer["tags"]


def test_directories_inside_of_pages_are_read_once(read: Callable[[str, bytes], dict]) -> None:
    """A thousand pointers at one directory, which points at itself."""
    inner = struct.pack("<H", 1) + struct.pack("<HHII", 330, 4, 1, 200) + bytes(4)
    pointers = struct.pack("<1000I", *[200] * 1000)
    page = struct.pack("<H", 3) + struct.pack("<HHII", 256, 4, 1, 4) + struct.pack("<HHII", 257, 4, 1, 4)
    page += struct.pack("<HHII", 330, 4, 1000, 300) + bytes(4)
    content = (b"II*\0" + struct.pack("<I", 8) + page).ljust(200, b"\0") + inner.ljust(100, b"\0") + pointers
    assert read("a.tif", content)["tags"] == 3 + 1 + 7
