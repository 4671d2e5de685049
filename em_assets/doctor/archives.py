"""Who serves the datasets, and whether they answer: one question a server, all at once."""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ftplib import FTP
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from em_assets import datasets
from em_assets.datasets import Dataset
from em_assets.doctor.findings import Finding, Question, mend, ok, unknown
from em_assets.errors import EMAssetsError, innermost_words
from em_assets.settings import PUBLIC, SAMPLE, Settings
from em_assets.sources.origins import GOOGLE_STORAGE, PUBLIC_ORIGIN, Origin, locate, url_scheme

if TYPE_CHECKING:
    from em_assets.sample.server_ftp import FTPSource
    from em_assets.sample.server_http import HTTPSource
    from em_assets.sample.server_s3 import S3Source

AREA = "archives"
DISKS = "disks"
ANSWER_S = 3.0
"""For a connection, and again for the answer."""


Servers = Mapping[str, list[str]]
"""Address of a server or bucket → names of the datasets that come from there."""


def questions(known: Settings) -> Iterator[Question]:
    """One question for each server that a dataset comes from; of a sample or a mirror, whether that is there."""
    try:
        registered = datasets.load(known)
    except EMAssetsError:
        return  # `stores` says what is wrong with them
    served = {name: dataset for name, dataset in registered.items() if dataset.is_served_by(known.origin)}
    servers = servers_of(served)
    if known.origin == PUBLIC:
        for server, names in servers.items():
            yield Question(AREA, server, partial(archive, server, names))
    elif known.origin == SAMPLE:
        for scheme, names in _by_protocol(servers).items():
            yield Question(AREA, f"sample, {scheme}", _sample(scheme, names))
    else:
        yield Question(AREA, "mirror", partial(_mirror, Path(known.origin), served))
    yield Question(DISKS, "sources", partial(_disks, served))


def with_the_network(findings: Sequence[Finding]) -> list[Finding]:
    """The findings, and where no archive answers one more: then it is not they that are away."""
    asked = [finding for finding in findings if finding.area == AREA]
    if len(asked) < 2 or any(finding.state != "unknown" for finding in asked):
        return list(findings)
    silent = [finding._replace(to_do=None) if finding.area == AREA else finding for finding in findings]
    found = f"none of {len(asked)} archives answers: this machine has no way out"
    return [
        *silent,
        unknown(AREA, "network", found, "look after its network, or set HTTPS_PROXY; what is held stays usable"),
    ]


def servers_of(registered: Mapping[str, Dataset]) -> Servers:
    """Every server and bucket that datasets name, fallback addresses as well, sorted; disks have none."""
    found: dict[str, set[str]] = {}
    for name, dataset in registered.items():
        for source in dataset.sources:
            for url in (source.url, *source.fallback_urls):
                if url_scheme(url) != "file":
                    parts = urlsplit(url)
                    found.setdefault(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", set()).add(name)
    return {server: sorted(found[server]) for server in sorted(found)}


def archive(server: str, names: Sequence[str], answer_s: float = ANSWER_S) -> Iterator[Finding]:
    """Whether a server or bucket answers; these datasets come from it."""
    comes = f"for {', '.join(names)}"
    began = time.monotonic()
    try:
        answer = _answer(server, answer_s)
    except OSError as error:  # those of requests and of ftplib are among them
        yield unknown(
            AREA,
            server,
            f"cannot be reached ({innermost_words(error)}), {comes}",
            "try later; whether it is away or this machine's network, the other lines say",
        )
        return
    seconds = time.monotonic() - began
    if answer and answer >= 500:
        yield unknown(AREA, server, f"answers HTTP {answer}, {comes}", "it has troubles of its own: try later")
    else:
        yield ok(AREA, server, f"answers after {seconds:.1f} s, {comes}")


def _answer(server: str, answer_s: float = ANSWER_S) -> int | None:
    """HTTP status of a server or bucket, whatever it is: it is there. None for FTP, which greets or does not.

    Raises
    ------
    OSError
        No answer.
    """
    scheme, name = server.split("://", 1)
    if scheme == "ftp":
        host, _, port = name.partition(":")
        with FTP(timeout=answer_s) as ftp:
            ftp.connect(host, int(port or 0))
            return None
    import requests

    addresses = {"s3": f"https://{name}.s3.amazonaws.com/", "gs": f"https://{GOOGLE_STORAGE}/{name}"}
    answer = requests.head(addresses.get(scheme, f"{server}/"), timeout=(answer_s, answer_s), allow_redirects=False)
    return answer.status_code


def _disks(served: Mapping[str, Dataset]) -> Iterator[Finding]:
    """Whether what comes from a disk of this machine is there: a disk may not be mounted."""
    n_paths = 0
    for name, dataset in served.items():
        for url in (source.url for source in dataset.sources if url_scheme(source.url) == "file"):
            n_paths += 1
            path = locate(url, PUBLIC_ORIGIN).path
            if not path.exists():
                yield mend(DISKS, name, f"{path} is not there", f"mount its disk, or mend `url` in {name}.toml")
    if n_paths:
        yield ok(DISKS, "sources", f"{n_paths} paths that datasets name were looked at")


def _by_protocol(servers: Servers) -> Servers:
    """The same by the protocol that a sample serves them with: Google's buckets come over the web."""
    found: dict[str, set[str]] = {}
    for server, names in servers.items():
        scheme = url_scheme(server)
        found.setdefault(scheme if scheme in ("ftp", "s3") else "http", set()).update(names)
    return {scheme: sorted(found[scheme]) for scheme in sorted(found)}


def _sample(scheme: str, names: Sequence[str]) -> Callable[[], Iterable[Finding]]:
    """Start the sample's server of a protocol, without the look-alikes, which are in the store; what asks it then.

    It is started here, not by who asks: its libraries warn while they are imported, and warnings are not for threads.
    """
    what = f"sample, {scheme}"
    empty = tempfile.TemporaryDirectory()
    try:
        server = _started(scheme, Path(empty.name))
    except ImportError as error:
        missing = mend(AREA, what, f"the package {error.name} is not installed", "pip install 'em-assets[sample]'")
        return lambda: [missing]
    except OSError as error:
        refused = _silent(what, error)
        return lambda: [refused]

    def asked() -> Iterator[Finding]:
        with empty:
            try:
                base = server.base_url
                _answer(f"{base.split('://', 1)[0]}://{urlsplit(base).netloc}")
            except OSError as error:
                yield _silent(what, error)
            else:
                yield ok(AREA, what, f"its server starts and answers, for {', '.join(names)}")
            finally:
                server.stop()

    return asked


def _silent(what: str, error: OSError) -> Finding:
    found = f"its server does not start or answer ({innermost_words(error)})"
    return mend(AREA, what, found, "let it listen on 127.0.0.1")


def _started(scheme: str, empty: Path) -> "HTTPSource | FTPSource | S3Source":
    if scheme == "ftp":
        from em_assets.sample.server_ftp import FTPSource as Server
    elif scheme == "s3":
        from em_assets.sample.server_s3 import S3Source as Server  # type: ignore[assignment]
    else:
        from em_assets.sample.server_http import HTTPSource as Server  # type: ignore[assignment]
    return Server(empty)


def _mirror(folder: Path, served: Mapping[str, Dataset]) -> Iterator[Finding]:
    origin = Origin(str(folder), folder=folder)
    there = [name for name, dataset in served.items() if _is_mirrored(dataset, origin)]
    missing = ", ".join(name for name in served if name not in there)
    if not there:
        yield mend(
            AREA, "mirror", f"{folder} holds none of the datasets", "name another in EM_ASSETS_ORIGIN, or fill it"
        )
    else:
        also = f"; not in it: {missing}" if missing else ""
        yield ok(AREA, "mirror", f"{folder} holds {', '.join(there)}{also}")


def _is_mirrored(dataset: Dataset, origin: Origin) -> bool:
    """Whether the mirror has something at the address of each of its sources, or at a fallback of it."""
    return all(
        any(locate(url, origin).path.exists() for url in (source.url, *source.fallback_urls))
        for source in dataset.sources
        if url_scheme(source.url) != "file"
    )
