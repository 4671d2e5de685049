"""S3 and Google Storage, anonymous: listed through obstore, which is fast; objects are fetched as web files."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from em_assets.errors import SourceError, SourceMissingError, SourceUnreachableError, innermost_words
from em_assets.sources import web
from em_assets.sources.globs import Wanted
from em_assets.sources.origins import GOOGLE_STORAGE, Location
from em_assets.sources.wire import ELSEWHERE, LATER, PATIENCE, Body, Entry, Patience, Resume

if TYPE_CHECKING:
    from obstore.store import GCSStore, S3Config, S3Store

DEFAULT_REGION = "us-east-1"
AT_ONCE = 8
_NO_PATH = "invalid path"
_STATUS = re.compile(r"status code: (401|403|404|410)")


def entries(location: Location, wanted: Wanted, patience: Patience) -> list[Entry]:
    """List the wanted objects below a prefix, or the one object that the address is.

    An object's time of modification is its upload's, so only its ETag is a validator.

    Raises
    ------
    SourceMissingError
        No such bucket, or not public.
    SourceUnreachableError
        No answer, or one that says to come back later.
    """
    return patience(lambda: _entries(location, wanted, patience))


def names(location: Location, patience: Patience) -> list[str]:
    """Names directly below a prefix, those that others lie below with a slash at the end; sorted.

    Raises
    ------
    SourceMissingError, SourceUnreachableError
        As for `entries`.
    """

    def ask() -> list[str]:
        import obstore

        bucket, key = _bucket_and_key(location.url)
        with _named_errors(location.url):
            found = obstore.list_with_delimiter(_store(location, bucket, patience), prefix=key.rstrip("/") or None)
        folders = [f"{prefix.rstrip('/').rsplit('/', 1)[-1]}/" for prefix in found["common_prefixes"]]
        keys = [meta["path"] for meta in found["objects"] if meta["path"] != key.rstrip("/")]  # which stands for it
        return sorted([*folders, *(path.rsplit("/", 1)[-1] for path in keys)])

    return patience(ask)


def body(location: Location, patience: Patience, resume: Resume | None = None) -> AbstractContextManager[Body]:
    """Give the object's bytes, over the bucket's own web address: there it can be gone on with, and says checksums."""
    return web.body(web_location(location), patience, resume, as_stored=True)


def about(location: Location, patience: Patience) -> Body:
    """What the bucket declares of an object, without its bytes."""
    return web.about(web_location(location), patience)


def web_location(location: Location) -> Location:
    """Where an object is asked for over HTTP: path-style, which also holds for bucket names with dots."""
    bucket, key = _bucket_and_key(location.url)
    if location.scheme == "gs":
        base = f"https://{GOOGLE_STORAGE}"
    elif location.s3_endpoint:
        base = location.s3_endpoint.rstrip("/")
    else:
        base = f"https://s3.{_region(bucket)}.amazonaws.com"
    return Location(f"{base}/{bucket}/{quote(key)}")


def _entries(location: Location, wanted: Wanted, patience: Patience) -> list[Entry]:
    import obstore

    bucket, key = _bucket_and_key(location.url)
    with _named_errors(location.url):
        store = _store(location, bucket, patience)
        if key and not key.endswith("/"):
            single = _head(store, key)
            if single is not None:
                return [_entry("", single)]
        root = f"{key.rstrip('/')}/" if key else ""
        found: dict[str, Entry] = {}
        for prefix in wanted.roots:
            if prefix and prefix in wanted and (named := _head(store, root + prefix)) is not None:
                found[prefix] = _entry(prefix, named)
            for batch in obstore.list(store, prefix=(root + prefix) or None, chunk_size=1000):
                for meta in batch:
                    path = meta["path"].removeprefix(root)
                    if meta["path"].startswith(root) and path in wanted:
                        found[path] = _entry(path, meta)
        for path in _folders_among(found, store, root):
            del found[path]
    return [found[path] for path in sorted(found)]


def _folders_among(found: dict[str, Entry], store: Any, root: str) -> list[str]:
    """Empty objects that stand for folders: `sub/`, which obstore lists as `sub`, where there is no object."""
    empty = [path for path, entry in found.items() if entry.size_bytes == 0]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        heads = pool.map(lambda path: _head(store, root + path), empty)
        return [path for path, meta in zip(empty, heads, strict=True) if meta is None]


def _bucket_and_key(url: str) -> tuple[str, str]:
    bucket, _, key = url.split("://", 1)[1].partition("/")
    return bucket, key


def _store(location: Location, bucket: str, patience: Patience) -> "S3Store | GCSStore":
    if location.scheme == "gs":
        return _google(bucket, patience)
    return _s3(bucket, location.s3_endpoint, patience)


@lru_cache(maxsize=16)
def _s3(bucket: str, endpoint: str | None, patience: Patience) -> "S3Store":
    from obstore.store import S3Store

    config: S3Config = {"skip_signature": True, "virtual_hosted_style_request": False, "region": DEFAULT_REGION}
    if not endpoint:
        config["region"] = _region(bucket)
    # Named in every case: else AWS_ENDPOINT_URL, which says where a store lies, would say it of public buckets too.
    config["endpoint"] = endpoint or f"https://s3.{config['region']}.amazonaws.com"
    return S3Store(
        bucket,
        config=config,
        client_options=_client_options(patience, plain=endpoint is not None),
        retry_config=_retry_config(),
    )


@lru_cache(maxsize=16)
def _google(bucket: str, patience: Patience) -> "GCSStore":
    from obstore.store import GCSStore

    options = _client_options(patience, plain=False)
    return GCSStore(bucket, skip_signature=True, client_options=options, retry_config=_retry_config())


def _client_options(patience: Patience, *, plain: bool) -> Any:
    return {
        "allow_http": plain,
        "connect_timeout": timedelta(seconds=patience.connect_s),
        "timeout": timedelta(seconds=patience.read_s),  # of one page of a listing
    }


def _retry_config() -> Any:
    return {"max_retries": 0, "retry_timeout": timedelta(seconds=20)}  # `Patience` asks again, in one place for all


@lru_cache(maxsize=64)
def _region(bucket: str) -> str:
    """S3 names a bucket's region in every answer, even in a refusal."""
    import requests

    url = f"https://{bucket}.s3.amazonaws.com"
    try:
        answer = requests.head(url, timeout=(PATIENCE.connect_s, PATIENCE.read_s), allow_redirects=False)
    except requests.RequestException as error:
        raise SourceUnreachableError(f"s3://{bucket}: no answer, {LATER} ({innermost_words(error)})") from None
    return answer.headers.get("x-amz-bucket-region", DEFAULT_REGION)


@contextmanager
def _named_errors(url: str) -> Iterator[None]:
    """Say what went wrong without the library's own error: its text has URLs in it, signatures and all."""
    from obstore import exceptions

    try:
        yield
    except (FileNotFoundError, exceptions.NotFoundError):
        raise SourceMissingError(f"{url}: HTTP 404, not there; {ELSEWHERE}") from None
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
        raise SourceMissingError(f"{url}: HTTP 403, not public; {ELSEWHERE}") from None
    except exceptions.BaseError as error:
        if _NO_PATH in str(error):
            raise SourceError(f"{url}: {_first_line(error)}; narrow `include` to folders without such keys") from None
        status = _STATUS.search(str(error))  # a refused listing has no class of its own
        if status:
            raise SourceMissingError(f"{url}: HTTP {status[1]}, not there or not public; {ELSEWHERE}") from None
        raise SourceUnreachableError(f"{url}: {LATER} ({_first_line(error)})") from None


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]


def _head(store: Any, key: str) -> Any:
    import obstore
    from obstore import exceptions

    try:
        return obstore.head(store, key)
    except (FileNotFoundError, exceptions.NotFoundError):
        return None


def _entry(path: str, meta: Any) -> Entry:
    return Entry(path, meta["size"], _validators(meta))


def _validators(meta: Any) -> tuple[str, ...]:
    etag = meta.get("e_tag")
    return (f"etag:{etag}",) if etag else ()
