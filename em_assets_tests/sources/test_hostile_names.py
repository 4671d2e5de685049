"""A hundred names that archives could list to get a file where it does not belong; none is written outside."""

from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
from scripted_server import Script

from em_assets.errors import EMAssetsError
from em_assets.model import Source
from em_assets.sources import acquire
from em_assets.sources.origins import PUBLIC_ORIGIN, Origin
from em_assets.sources.wire import Patience

UP = ["../x", "../../x", "a/../../x", "a/b/../../../x", "..", "../", "./../x", "a/..", "....//x", "..%2fx", "%2e%2e/x"]
UP += ["..;/x", ".. /x", "..\u2215x", "\uff0e\uff0e/x", "..\\x", "..\\..\\x", "a\\..\\..\\x", "..%5cx", "%252e%252e/x"]
ABSOLUTE = ["/x", "//x", "///x", "/etc/passwd", "/tmp/x", "/proc/self/mem", "/dev/null", "~/x", "~root/x", "$HOME/x"]
ABSOLUTE += ["file:///x", "//host/share/x", "\\\\host\\share\\x", "\\x", "\\\\?\\C:\\x", "\\\\.\\PhysicalDrive0"]
DRIVES = ["C:x", "C:/x", "C:\\x", "c:..\\x", "a/C:x", "Z:/../x", "C:", "c|/x"]
CONTROL = [
    "a\0b",
    "\0",
    "a\nb",
    "a\rb",
    "a\tb",
    "\x1b[2Jx",
    "a\x7fb",
    "a\x85b",
    "x.tif\0.png",
    "a\u2028b",
    "\u202ex.tif",
]
DEVICES = [
    "CON",
    "con.tif",
    "PRN",
    "AUX",
    "nul",
    "NUL.txt",
    "COM1",
    "com9.x",
    "LPT1",
    "lpt9",
    "CONIN$",
    "a/nul/b",
    "COM¹",
]
ODD = ["", " ", ".", "a//b", "a/./b", "a/", "./x", "x.", "x ", "a. /b", "x" * 256, "x/" * 2000 + "x", "µ" * 128, "-rf"]
ODD += [
    "*",
    "?",
    "x?y=1",
    "x#y",
    "<x>",
    '"x"',
    "x|y",
    "x:y",
    "x:$DATA",
    "x::$INDEX_ALLOCATION",
    "%",
    "%zz",
    "%00",
    "$(x)",
]
OURS = [
    "manifest.parquet",
    ".x.part",
    "lock.toml",
    "../manifest.parquet",
    "../lock.toml",
    "../journal.jsonl",
    "../old/x",
]
NAMES = [*UP, *ABSOLUTE, *DRIVES, *CONTROL, *DEVICES, *ODD, *OURS]

TWINS = [("a.tif", "A.TIF"), ("straße.tif", "STRASSE.tif"), ("e\u0301.tif", "\u00e9.tif"), ("a", "a/b.tif")]
CONTENT = b"II*\0" + bytes(50)


def test_there_are_a_hundred_of_them() -> None:
    assert len(set(NAMES)) >= 100


def written(tmp_path: Path, inside: Path) -> list[Path]:
    """What there is besides the folder that may be written to."""
    return [path for path in tmp_path.rglob("*") if inside not in (path, *path.parents) and path not in inside.parents]


def test_a_web_page_that_lists_them_writes_nothing_outside(tmp_path: Path, script: Script, hurried: Patience) -> None:
    inside = tmp_path / "a" / "b" / "store" / "raw" / "mine"
    for number, name in enumerate(NAMES):
        for href in dict.fromkeys((name, quote(name, safe=""))):
            page = f'<html><body><a href="{href}">{name}</a></body></html>'.encode(errors="replace")
            folder = f"/{number}/"
            script.says(folder, page, headers={"Content-Type": "text/html"})
            script.says(f"{folder}{quote(name)}", CONTENT)
            tried(Source(url=script.url + folder), PUBLIC_ORIGIN, inside, hurried)
    assert written(tmp_path, inside) == []


def test_a_bucket_that_lists_them_writes_nothing_outside(tmp_path: Path, s3_endpoint: str, hurried: Patience) -> None:
    """Keys of a bucket may be any text at all."""
    inside = tmp_path / "a" / "b" / "store" / "raw" / "mine"
    origin = Origin("sample", endpoints=lambda _: s3_endpoint)
    put(f"{s3_endpoint}/hostile", b"")
    places = range(len(NAMES))
    taken = [n for n in places if put(f"{s3_endpoint}/hostile/{n}/{quote(NAMES[n], safe='')}", CONTENT)]
    assert len(taken) > 90  # it has no keys with a line's end
    for number in taken:
        tried(Source(url=f"s3://hostile/{number}/"), origin, inside, hurried)
    assert written(tmp_path, inside) == []


@pytest.mark.parametrize(("one", "other"), TWINS, ids=["case", "sharp s", "composed", "file and folder"])
def test_twins_are_refused_before_anything_is_fetched(
    tmp_path: Path, script: Script, hurried: Patience, one: str, other: str
) -> None:
    page = "".join(f'<a href="{quote(name)}">{name}</a>' for name in (one, other))
    script.says("/d/", f"<html><body>{page}</body></html>".encode(), headers={"Content-Type": "text/html"})
    if "/" in other:
        script.says("/d/a/", b'<html><body><a href="b.tif">b</a></body></html>', headers={"Content-Type": "text/html"})
    with pytest.raises(EMAssetsError):
        acquire([Source(url=f"{script.url}/d/")], PUBLIC_ORIGIN, tmp_path / "raw", log=lambda _: None, patience=hurried)
    assert list((tmp_path / "raw").rglob("*.tif")) == []


def put(url: str, content: bytes) -> bool:
    """Put a bucket or an object that everybody may read; whether the server takes such a name."""
    headers = {"x-amz-acl": "public-read", "Content-Type": "application/octet-stream"}
    try:
        urlopen(Request(url, data=content, method="PUT", headers=headers), timeout=30).close()
    except HTTPError:
        return False
    return True


def tried(source: Source, origin: Origin, inside: Path, patience: Patience) -> None:
    """Fetch from there; what arrives lies inside, under its own name, and a refusal is an error of ours."""
    raw_dir = inside / source.url.rstrip("/").rpartition("/")[2]
    try:
        acquired = acquire([source], origin, raw_dir, log=lambda _: None, patience=patience)
    except EMAssetsError:
        return
    for file in acquired.files:
        path = raw_dir / "files" / file.path
        assert path.resolve().is_relative_to(raw_dir / "files")
        assert path.read_bytes() == CONTENT
