"""A place in an S3 bucket, used like a `Path` where that has a meaning: `/`, `name`, `read_bytes`, `is_file`.

Objects appear whole or not at all, so nothing is staged. Who signs the requests (`AWS_ACCESS_KEY_ID` and its kin, or
the machine's role) the libraries find out for themselves: no key is held here, so none can be printed or pickled.
"""

import errno
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from em_assets.errors import SettingsError, SourceUnreachableError, StoreError

if TYPE_CHECKING:
    from obstore.store import S3Store

SCHEME = "s3://"
PIECE_BYTES = 4 << 20
PART_BYTES = 16 << 20
"""A file goes up in parts of this size, some at once: 160 GB in the 10,000 that S3 allows."""

DIGEST = "sha256"
"""Name of an object's attribute: of what went up from a file."""

REMOVED_AT_ONCE = 1000
"""S3 takes no more keys in one request."""

NO_CREDENTIALS = re.compile(r"/latest/(api/token|meta-data/iam)\b|Missing (AccessKeyId|SecretAccessKey)")
"""In an error's words: without keys the library asks the machine's metadata server for a role, and none answers."""


class Object(NamedTuple):
    """What a listing says of an object."""

    size_bytes: int
    e_tag: str | None
    modified: datetime


@dataclass(frozen=True)
class RemotePath:
    """An object, or all objects whose keys begin with it and a slash.

    Attributes
    ----------
    url
        `s3://bucket/key`, without a slash at the end.
    endpoint
        Address of an S3 server of one's own (MinIO, Ceph); None for Amazon's.
    region
        Of the bucket.
    has_keys
        Whether the environment holds an access key; without one the machine's role is asked for.
    """

    url: str
    endpoint: str | None = None
    region: str = "us-east-1"
    has_keys: bool = True

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: object) -> Self:
        return replace(self, url=f"{self.url}/{name}")

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.url.rpartition("/")[2]

    @property
    def parent(self) -> Self:
        """The folder that it is in."""
        return replace(self, url=self.url.rpartition("/")[0])

    @property
    def bucket(self) -> str:
        """Name of the bucket."""
        return self.url.removeprefix(SCHEME).partition("/")[0]

    @property
    def key(self) -> str:
        """The object's name in its bucket."""
        return self.url.removeprefix(SCHEME).partition("/")[2]

    def read_bytes(self) -> bytes:
        """The whole object.

        Raises
        ------
        FileNotFoundError
            There is none.
        """
        return b"".join(self.pieces())

    def pieces(self) -> Iterator[bytes]:
        """The object in small pieces, in order; errors as `read_bytes`."""
        with self._asked():
            for piece in self._store.get(self.key).stream(min_chunk_size=PIECE_BYTES):
                yield bytes(piece)

    def read_range(self, start: int, n_bytes: int) -> bytes:
        """So many bytes of the object from `start` on, fewer where it ends before; errors as `read_bytes`."""
        with self._asked():
            return bytes(self._store.get_range(self.key, start=start, length=n_bytes))

    def download(self, dest: Path) -> Object:
        """Write the object to a new file; what the bucket says of what was read.

        Raises
        ------
        FileNotFoundError
            There is none.
        StoreError
            Other bytes arrived than went up.
        """
        hasher, size_bytes = hashlib.sha256(), 0
        with self._asked(), dest.open("xb") as file:
            answer = self._store.get(self.key)
            for piece in answer.stream(min_chunk_size=PIECE_BYTES):
                hasher.update(piece)
                size_bytes += file.write(piece)
        found, expected = _object(answer.meta), answer.attributes.get(DIGEST)
        if size_bytes != found.size_bytes or expected not in (None, hasher.hexdigest()):
            raise StoreError(f"{self.url}: {found.size_bytes} bytes, sha256 {expected} expected, found {size_bytes}")
        return found

    def upload(self, source: Path) -> str | None:
        """Make or replace the object with the bytes of a file, its SHA-256 beside them; its ETag."""
        import obstore

        with source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        with self._asked():
            attributes = {DIGEST: digest}
            return obstore.put(self._store, self.key, source, attributes=attributes, chunk_size=PART_BYTES)["e_tag"]

    def is_file(self) -> bool:
        """Whether there is such an object."""
        return self.look() is not None

    def look(self) -> Object | None:
        """What the bucket says of the object; None where there is none."""
        try:
            with self._asked():
                return _object(self._store.head(self.key))
        except FileNotFoundError:
            return None

    def put(self, data: bytes | memoryview) -> None:
        """Make or replace the object."""
        import obstore

        with self._asked():
            obstore.put(self._store, self.key, data, use_multipart=False)

    def put_pieces(self, pieces: Iterable[bytes]) -> None:
        """Make or replace the object with what these pieces make up; of a large one only parts are held."""
        import obstore

        remaining = iter(pieces)
        first = list(islice(remaining, 2))
        if len(first) < 2:
            self.put(b"".join(first))
            return
        with self._asked():
            obstore.put(self._store, self.key, chain(first, remaining), chunk_size=PART_BYTES)

    def create(self, data: bytes) -> bool:
        """Make an object; False, and nothing changed, where there is one: of many at once exactly one wins."""
        from obstore import exceptions, put

        try:
            with self._asked():
                put(self._store, self.key, data, mode="create", use_multipart=False)
        except exceptions.AlreadyExistsError:
            return False
        return True

    def objects(self) -> dict[str, Object]:
        """Everything below, by its key from here on."""
        import obstore

        found: dict[str, Object] = {}
        with self._asked():
            for batch in obstore.list(self._store, prefix=self.key or None, chunk_size=1000):
                found |= {meta["path"].removeprefix(f"{self.key}/"): _object(meta) for meta in batch}
        return found

    def folders(self) -> list[str]:
        """Names one step below that have objects below themselves, sorted."""
        import obstore

        with self._asked():
            found = obstore.list_with_delimiter(self._store, prefix=self.key or None)
        return sorted(str(prefix).rpartition("/")[2] for prefix in found["common_prefixes"])

    def remove(self, keys: Iterable[str]) -> None:
        """Remove the objects with these keys from here on; one that is not there is removed already."""
        import obstore

        paths = [f"{self.key}/{key}" for key in keys]
        with self._asked():
            for start in range(0, len(paths), REMOVED_AT_ONCE):
                obstore.delete(self._store, paths[start : start + REMOVED_AT_ONCE])

    def kvstore(self, name: str = "") -> dict[str, Any]:
        """What tensorstore calls the place of a folder in here."""
        folder = self / name if name else self
        own = {"endpoint": self.endpoint} if self.endpoint else {}
        return {
            "driver": "s3",
            "bucket": self.bucket,
            "path": f"{folder.key}/",
            "aws_region": self.region,
            # Else it looks for profile files, and says on stderr that there are none.
            "aws_credentials": {"type": "environment" if self.has_keys else "default"},
            **own,
        }

    def zarr_store(self) -> Any:
        """The same place as zarr-python reads it."""
        from obstore.store import from_url
        from zarr.storage import ObjectStore

        return ObjectStore(from_url(self.url, **_arguments(self.endpoint, self.region)), read_only=True)

    @property
    def _store(self) -> "S3Store":
        return _bucket(self.bucket, self.endpoint, self.region)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Say in words, with the address, what a bucket refuses."""
        from obstore import exceptions

        try:
            yield
        except (FileNotFoundError, exceptions.NotFoundError) as error:
            self._refuse(error)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.url) from error
        except exceptions.AlreadyExistsError:
            raise
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise StoreError(
                f"{self.url}: refused; keys that may read and write it expected in AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or a role of this machine"
            ) from error
        except exceptions.BaseError as error:
            self._refuse(error)
            where = f" ({self.endpoint})" if self.endpoint else ""
            reason = str(error).split("\n", 1)[0]
            raise SourceUnreachableError(f"{self.url}{where}: no answer, a later try may succeed: {reason}") from error

    def _refuse(self, error: Exception) -> None:
        """Say what the user can mend; its words are all that tells it from other errors."""
        if NO_CREDENTIALS.search(str(error)):
            raise StoreError(
                f"{self.url}: no credentials found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and "
                "AWS_SESSION_TOKEN with temporary ones), or give this machine a role"
            ) from error
        if "NoSuchBucket" in str(error):  # a listing's has no class of its own
            raise StoreError(f"{SCHEME}{self.bucket}: no such bucket; make it first, or name another") from error


def remote_path(url: str, environ: Mapping[str, str]) -> RemotePath:
    """The place that a URL names, with what the environment's `AWS_*` say of the server.

    Raises
    ------
    SettingsError
        It is no `s3://bucket/key`.
    """
    path = RemotePath(
        url.rstrip("/"),
        endpoint=environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or None,
        region=environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or RemotePath.region,
        has_keys="AWS_ACCESS_KEY_ID" in environ,
    )
    parts = path.url.removeprefix(SCHEME).split("/")
    if not path.url.startswith(SCHEME) or not {"", ".", ".."}.isdisjoint(parts) or set(url) & set("?#@"):
        raise SettingsError(f"{url}: s3://bucket or s3://bucket/folder expected")
    return path


def _object(meta: Any) -> Object:
    return Object(meta["size"], meta["e_tag"], meta["last_modified"])


@lru_cache(maxsize=16)
def _bucket(bucket: str, endpoint: str | None, region: str) -> "S3Store":
    from obstore.store import S3Store

    return S3Store(bucket, **_arguments(endpoint, region))


def _arguments(endpoint: str | None, region: str) -> dict[str, Any]:
    own = {"endpoint": endpoint, "virtual_hosted_style_request": False} if endpoint else {}
    return {
        **own,
        "region": region,
        "checksum_algorithm": "SHA256",  # of each request's body, which the server compares
        "client_options": {
            "allow_http": endpoint is not None and endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=10),
            "timeout": timedelta(seconds=300),
        },
        "retry_config": {"max_retries": 5, "retry_timeout": timedelta(seconds=120)},
    }
