"""A file of the right length is held to whatever checksum its source tells."""

import base64
import hashlib
from pathlib import Path

import pytest
from scripted_server import Script

from em_assets.errors import IncompleteError
from em_assets.model import RemoteFile, Source
from em_assets.sources import acquire
from em_assets.sources.checksums import declared, new_digest, read_sidecar, sidecar_of
from em_assets.sources.origins import PUBLIC_ORIGIN
from em_assets.sources.transfer import Demand, fetch_file
from em_assets.sources.wire import Patience

BODY = b"II*\0" + bytes(range(200))
MD5, SHA256 = hashlib.md5(BODY).hexdigest(), hashlib.sha256(BODY).hexdigest()


def encoded(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()


def crc32c(content: bytes) -> str:
    digest = new_digest("crc32c")
    digest.update(content)
    return digest.hexdigest()


def test_crc32c_is_castagnolis() -> None:
    """The check value of RFC 3720's polynomial."""
    assert crc32c(b"123456789") == "e3069283"


HEADERS = {
    "google": {"x-goog-hash": f"crc32c={encoded(crc32c(BODY))},md5={encoded(MD5)}"},
    "google-one-a-header": {"x-goog-hash": f"crc32c={encoded(crc32c(BODY))}"},
    "amazon-etag": {"ETag": f'"{MD5}"', "x-amz-server-side-encryption": "AES256"},
    "amazon-sha256": {"x-amz-checksum-sha256": encoded(SHA256)},
    "amazon-crc32c": {"x-amz-checksum-crc32c": encoded(crc32c(BODY)), "x-amz-checksum-type": "FULL_OBJECT"},
    "rfc-9530": {"Repr-Digest": f"sha-256=:{encoded(SHA256)}:"},
    "content-md5": {"Content-MD5": encoded(MD5)},
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
def test_wrong_bytes_of_the_right_length_are_refused(
    script: Script, hurried: Patience, tmp_path: Path, headers: dict[str, str]
) -> None:
    remote = RemoteFile(
        path="a.tif", url=script.says("/a.tif", BODY, headers=headers), size_bytes=len(BODY), validator=None
    )
    assert fetch_file(remote, tmp_path / "a.tif", PUBLIC_ORIGIN, patience=hurried).sha256 == SHA256
    script.says("/a.tif", BODY[:-1] + b"x", headers=headers)
    with pytest.raises(IncompleteError, match=r"declared, .* arrived.*the same bytes twice.*kept at"):
        fetch_file(remote, tmp_path / "a.tif", PUBLIC_ORIGIN, patience=hurried, quarantine=tmp_path / "bad")
    assert (tmp_path / "a.tif").read_bytes() == BODY
    assert "declared" in (tmp_path / "bad" / "a.tif.reason.txt").read_text()


NO_CHECKSUMS = {
    "several-parts": {"ETag": f'"{MD5}-7"'},
    "weak": {"ETag": f'W/"{MD5}"'},
    "a-key-of-amazons": {"ETag": f'"{MD5}"', "x-amz-server-side-encryption": "aws:kms"},
    "a-key-of-ones-own": {"ETag": f'"{MD5}"', "x-amz-server-side-encryption-customer-algorithm": "AES256"},
    "of-parts": {"x-amz-checksum-crc32c": encoded(crc32c(BODY)), "x-amz-checksum-type": "COMPOSITE"},
    "of-parts-by-name": {"x-amz-checksum-sha256": f"{encoded(SHA256)}-7"},
    "unpacked-by-google": {"x-goog-hash": f"md5={encoded(MD5)}", "x-goog-stored-content-encoding": "gzip"},
    "nonsense": {"x-goog-hash": "md5=!!!", "Content-MD5": "x", "Repr-Digest": "sha-256=:x:"},
}


@pytest.mark.parametrize("headers", NO_CHECKSUMS.values(), ids=NO_CHECKSUMS)
def test_what_is_no_checksum_of_the_stored_bytes_is_not_taken_for_one(headers: dict[str, str]) -> None:
    assert declared(headers, is_whole=True) == {}


def test_a_part_declares_no_checksum_of_its_own() -> None:
    assert declared(HEADERS["content-md5"] | HEADERS["amazon-sha256"], is_whole=False) == {}


def test_etags_that_only_look_like_md5_can_be_declared_so(script: Script, hurried: Patience, tmp_path: Path) -> None:
    url = script.says("/a.tif", BODY, headers={"ETag": f'"{"0" * 32}"'})
    with pytest.raises(IncompleteError, match="etag_is_md5 = false"):
        acquire([Source(url=url)], PUBLIC_ORIGIN, tmp_path / "raw", log=str, patience=hurried)
    source = Source(url=url, etag_is_md5=False)
    assert acquire([source], PUBLIC_ORIGIN, tmp_path / "raw", log=str, patience=hurried).files[0].sha256 == SHA256


def test_what_the_caller_demands_prevails(script: Script, hurried: Patience, tmp_path: Path) -> None:
    url = script.says("/a.tif", BODY, headers={"ETag": f'"{"0" * 32}"'})
    remote = RemoteFile(path="a.tif", url=url, size_bytes=len(BODY), validator=None)
    demand = Demand(checksums={"sha256": SHA256})
    assert fetch_file(remote, tmp_path / "a.tif", PUBLIC_ORIGIN, patience=hurried, demand=demand).sha256 == SHA256


SIDECARS = {
    "x/a.tif.md5": f"{MD5}\n",
    "x/a.tif.sha256": f"{SHA256}  a.tif\n",
    "x/a.tif.md5sum": f"{MD5} */home/somebody/a.tif\n",
    "x/md5sums.txt": f"{'0' * 32}  b.tif\n{MD5}  ./a.tif\n",
    "x/SHA256SUMS": f"# a comment\nSHA256 (a.tif) = {SHA256}\n",
    "checksums.txt": f"{SHA256.upper()}  x/a.tif\n",
}


@pytest.mark.parametrize("path", SIDECARS)
def test_a_sidecar_tells_checksums(path: str) -> None:
    assert sidecar_of(path, frozenset({"x/a.tif", path}))
    said = {(name, digits) for name, _, digits in read_sidecar(path, SIDECARS[path])}
    assert said & {("x/a.tif", MD5), ("x/a.tif", SHA256)}


def test_a_file_is_held_to_the_sidecar_beside_it(script: Script, hurried: Patience, tmp_path: Path) -> None:
    script.says("/d/", b'<a href="a.tif">a</a><a href="a.tif.sha256">s</a>')
    script.says("/d/a.tif.sha256", f"{SHA256}  a.tif\n".encode())
    script.says("/d/a.tif", BODY[:-1] + b"x")
    source = Source(url=f"{script.url}/d/")
    with pytest.raises(IncompleteError, match=f"sha256 {SHA256} declared"):
        acquire([source], PUBLIC_ORIGIN, tmp_path / "raw", log=str, patience=hurried)
    script.says("/d/a.tif", BODY)
    got = acquire([source], PUBLIC_ORIGIN, tmp_path / "raw", log=str, patience=hurried)
    assert {row.path: row.sha256 for row in got.files}["a.tif"] == SHA256
