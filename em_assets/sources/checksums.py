"""What others say of a file's bytes: checksums in the headers of an answer, and in files beside the data."""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Protocol

ALGORITHMS = ("md5", "sha1", "sha256", "sha512", "crc32c")
ETAG_MD5 = "etag_md5"
_HEX_LENGTH = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}
_MD5_ETAG = re.compile(r'"([0-9a-fA-F]{32})"')
_SIDECAR = re.compile(r"(.*)\.(md5|sha1|sha256|sha512)(sum)?", re.IGNORECASE)
_SUMS = re.compile(r"(checksums?|md5sums?|sha1sums?|sha256sums?|sha512sums?)(\.(txt|md5|sha1|sha256|sha512))?", re.I)
_LINE = re.compile(r"([0-9a-fA-F]{32,128})(?:\s+\*?(\S.*?))?\s*")
_BSD_LINE = re.compile(r"(?:MD5|SHA1|SHA256|SHA512) ?\((.+)\) ?= ?([0-9a-fA-F]{32,128})\s*")
MOST_SIDECAR_BYTES = 16 << 20

_AMAZON = ("sha256", "sha1", "crc32c")
_SAYING = {"x-goog-hash", "repr-digest", "content-md5", *(f"x-amz-checksum-{algorithm}" for algorithm in _AMAZON)}
"""Headers with checksums."""


class Digest(Protocol):
    """What hashlib's objects offer."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take more bytes in."""

    def hexdigest(self) -> str:
        """Hexadecimal digits of all bytes so far."""


def new_digest(algorithm: str) -> Digest:
    """An empty digest of one of `ALGORITHMS`."""
    if algorithm == "crc32c":
        return _CRC32C()
    return hashlib.new(algorithm, usedforsecurity=algorithm != "md5")


class _CRC32C:
    def __init__(self) -> None:
        import google_crc32c

        self._extend: Callable[[int, bytes], int] = google_crc32c.extend
        self._value = 0

    def update(self, data: bytes | memoryview) -> None:
        self._value = self._extend(self._value, bytes(data))  # it takes nothing else

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


def algorithm_of(name: str) -> str:
    """Algorithm of a declared checksum; `etag_md5` is an MD5 too."""
    return name.removeprefix("etag_")


def declared(headers: Mapping[str, str], *, is_whole: bool) -> dict[str, str]:
    """Algorithm → hexadecimal digits of the stored bytes, from an answer's headers; `etag_md5` for one in an ETag.

    Google's hash, S3's and RFC 9530's are of the whole file; some servers send S3's and Content-MD5 for a part, so
    these count in whole answers only. An ETag of 32 digits is the MD5 at S3, Swift and most others that send one; not
    where a key of Amazon's encrypts.
    """
    found: dict[str, str] = {}
    if not _SAYING.isdisjoint(name.lower() for name in headers):  # most servers have none of them
        if headers.get("x-goog-stored-content-encoding", "identity") == headers.get("Content-Encoding", "identity"):
            found |= _pairs(headers.get("x-goog-hash", ""), "=")
        found |= _pairs(headers.get("Repr-Digest", ""), "=:")
        if is_whole:
            found |= _amazon(headers)
            found |= _decoded("md5", headers.get("Content-MD5", ""))
    etag = _MD5_ETAG.fullmatch(headers.get("ETag", ""))
    if etag and "md5" not in found and not _is_encrypted(headers):
        found[ETAG_MD5] = etag[1].lower()
    return found


def sidecar_of(path: str, paths: frozenset[str]) -> bool:
    """Whether a listed file holds the checksums of others that are listed: `x.tif.md5`, `md5sums.txt`, ….."""
    beside = _SIDECAR.fullmatch(path)
    return bool(beside and beside[1] in paths) or bool(_SUMS.fullmatch(PurePosixPath(path).name))


def read_sidecar(path: str, text: str) -> Iterator[tuple[str, str, str]]:
    """Path, algorithm and hexadecimal digits of each file that a sidecar names; lines that say nothing are left out."""
    folder = PurePosixPath(path).parent
    beside = _SIDECAR.fullmatch(path)
    for line in text.splitlines():
        named = _BSD_LINE.fullmatch(line)
        plain = None if named else _LINE.fullmatch(line)
        digits, name = (named[2], named[1]) if named else (plain[1], plain[2]) if plain else ("", None)
        algorithm = _HEX_LENGTH.get(len(digits))
        if algorithm is None:
            continue
        if name is not None and not (beside and PurePosixPath(name).name == PurePosixPath(beside[1]).name):
            yield (folder / name.removeprefix("./")).as_posix(), algorithm, digits.lower()
        elif beside:
            yield beside[1], algorithm, digits.lower()


def _is_encrypted(headers: Mapping[str, str]) -> bool:
    """Whether a key of Amazon's or of a customer's encrypts: then an ETag is of other bytes."""
    by_amazon = headers.get("x-amz-server-side-encryption", "AES256") != "AES256"
    return by_amazon or "x-amz-server-side-encryption-customer-algorithm" in headers


def _amazon(headers: Mapping[str, str]) -> dict[str, str]:
    if headers.get("x-amz-checksum-type", "FULL_OBJECT") != "FULL_OBJECT":
        return {}
    found: dict[str, str] = {}
    for algorithm in _AMAZON:
        found |= _decoded(algorithm, headers.get(f"x-amz-checksum-{algorithm}", ""))
    return found


def _pairs(value: str, separator: str) -> dict[str, str]:
    """`crc32c=n03x6A==, md5=…` or `sha-256=:…:`."""
    found: dict[str, str] = {}
    for pair in value.split(",") if value else ():
        name, _, encoded = pair.strip().partition(separator)
        found |= _decoded(name.lower().replace("-", ""), encoded.rstrip(":"))
    return found


def _decoded(algorithm: str, encoded: str) -> dict[str, str]:
    """Base64 → hexadecimal digits; nothing for an algorithm that is not known or a value that is none."""
    if not encoded:
        return {}
    try:
        digits = base64.b64decode(encoded, validate=True).hex()
    except (binascii.Error, ValueError):
        return {}
    lengths = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128, "crc32c": 8}
    return {algorithm: digits} if len(digits) == lengths.get(algorithm) else {}
