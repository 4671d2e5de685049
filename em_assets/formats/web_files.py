"""Files behind http(s), s3 and gs URLs, one at a time and as anybody may read them."""

from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from em_assets.errors import FormatError, SourceMissingError, SourceUnreachableError, UsageError

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import HTTPStore

T = TypeVar("T")

URL_SCHEMES = ("http", "https", "s3", "gs")


def http_url(url: str) -> str:
    """The http(s) address of a public object, without a trailing slash.

    Public buckets answer plain HTTP: no credentials are looked for, so none can be missing or sent by mistake.

    Raises
    ------
    UsageError
        The URL is of a protocol that marked folders are not read over.
    """
    scheme, _, rest = url.partition("://")
    rest = rest.rstrip("/")
    bucket, _, key = rest.partition("/")
    _check_address(url)
    match scheme:
        case "http" | "https":
            return f"{scheme}://{rest}"
        case "gs":
            return f"https://storage.googleapis.com/{rest}"
        case "s3" if "." in bucket:  # the certificate of *.s3.amazonaws.com covers no further dot
            return f"https://s3.amazonaws.com/{rest}"
        case "s3":
            return f"https://{bucket}.s3.amazonaws.com/{key}".rstrip("/")
    raise UsageError(f"{url}: {', '.join(URL_SCHEMES)} or a local path expected, found {scheme}://")


def _check_address(url: str) -> None:
    """Refuse what can be no address: asked for, it would look like a server that does not answer."""
    try:
        parts = urlsplit(url)
        is_named = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise UsageError(f"{url}: no URL: {error}") from error
    if not is_named:
        raise UsageError(f"{url}: a host or bucket expected after {parts.scheme}://, found none")


def read_head(url: str, size: int = 4096) -> bytes | None:
    """The first bytes of a file behind an http(s), s3 or gs URL; None where there is none for the public.

    Raises
    ------
    SourceUnreachableError
        The server does not answer.
    """
    data = _read(url, size)
    return None if data is None else data[:size]


def read_small(url: str, most_bytes: int) -> bytes | None:
    """All bytes of a file that should be no larger; as `read_head`.

    Raises
    ------
    FormatError
        There are more.
    """
    data = _read(url, most_bytes + 1)
    if data is not None and len(data) > most_bytes:
        raise FormatError(f"{url}: metadata expected, found more than {most_bytes} bytes")
    return data


def read_all(url: str) -> bytes | None:
    """All bytes of a file, however many; as `read_head`."""
    return _read(url, None)


def read_at_most(url: str, most_bytes: int) -> bytes | None:
    """The first bytes of a file, or all where there are fewer; None only where there is no such file.

    Raises
    ------
    SourceMissingError
        It is not for the public: perhaps there, so it is not known to be absent.
    SourceUnreachableError
        The server does not answer.
    """
    data = _read(url, most_bytes, is_private_absent=False)
    return None if data is None else data[:most_bytes]


def look(url: str) -> "ObjectMeta | None":
    """What a server says of a file: `size`, `e_tag`, `last_modified`; as `read_head`."""
    return _answer(url, lambda store, name: store.head(name))


def _read(url: str, stop_after: int | None, *, is_private_absent: bool = True) -> bytes | None:
    def read(store: "HTTPStore", name: str) -> bytes:
        data = bytearray()
        for part in store.get(name).stream(min_chunk_size=min(stop_after or 2**20, 2**20)):
            data += part
            if stop_after is not None and len(data) >= stop_after:
                break
        return bytes(data)

    return _answer(url, read, is_private_absent=is_private_absent)


def _answer(url: str, ask: Callable[["HTTPStore", str], T], *, is_private_absent: bool = True) -> T | None:
    """What is answered to a question about a name in a folder; None where there is none for the public."""
    from obstore import exceptions

    address = http_url(url)
    folder, _, name = address.rpartition("/")
    try:
        return ask(_store(folder), name)
    except FileNotFoundError:
        return None
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        # A bucket that lists nothing to the public answers 403 where there is no object.
        if is_private_absent:
            return None
        raise SourceMissingError(f"{address}: not there, or not public: {str(error).splitlines()[0]}") from error
    except (exceptions.BaseError, OSError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise SourceUnreachableError(f"{address}: no answer, a later try may succeed: {said}") from error


@lru_cache(maxsize=32)
def _store(root: str) -> "HTTPStore":
    from obstore.store import HTTPStore

    return HTTPStore.from_url(
        root,
        client_options={"timeout": "60s", "connect_timeout": "10s", "allow_http": urlsplit(root).scheme == "http"},
        retry_config={
            "max_retries": 3,
            "retry_timeout": timedelta(seconds=60),
            "backoff": {
                "init_backoff": timedelta(milliseconds=200),
                "max_backoff": timedelta(seconds=5),
                "base": 2.0,
            },
        },
    )
