"""One TOML, three origins: only the host is mapped."""

from pathlib import Path

import pytest

from em_assets.errors import SourceError
from em_assets.sources.origins import PUBLIC_ORIGIN, Location, Origin, locate

BASES = {"http": "http://127.0.0.1:81", "ftp": "ftp://127.0.0.1:21", "s3": "http://127.0.0.1:90"}
SAMPLE = Origin("sample", endpoints=BASES.__getitem__)
MIRROR = Origin("/mirror", folder=Path("/mirror"))


@pytest.mark.parametrize(
    ("url", "public", "sample", "mirror"),
    [
        (
            "https://a.org/x/%20y.tif",
            "https://a.org/x/%20y.tif",
            "http://127.0.0.1:81/a.org/x/%20y.tif",
            "a.org/x/ y.tif",
        ),
        ("ftp://a.org/x/", "ftp://a.org/x/", "ftp://127.0.0.1:21/a.org/x/", "a.org/x"),
        (
            "gs://b-1/k/em x",
            "https://storage.googleapis.com/b-1/k/em%20x",
            "http://127.0.0.1:81/storage.googleapis.com/b-1/k/em%20x",
            "b-1/k/em x",
        ),
        (
            "https://b-1.storage.googleapis.com/k",
            "https://storage.googleapis.com/b-1/k",
            "http://127.0.0.1:81/storage.googleapis.com/b-1/k",
            "b-1/k",
        ),
        ("s3://b/k", "s3://b/k", "s3://b/k", "b/k"),
    ],
)
def test_a_public_url_is_mapped_by_its_origin(url: str, public: str, sample: str, mirror: str) -> None:
    assert locate(url, PUBLIC_ORIGIN).url == public
    assert locate(url, SAMPLE).url == sample
    assert locate(url, MIRROR).url == f"/mirror/{mirror}"


def test_only_s3_under_sample_has_an_endpoint() -> None:
    assert locate("s3://b/k", SAMPLE).s3_endpoint == "http://127.0.0.1:90"
    assert locate("s3://b/k", PUBLIC_ORIGIN).s3_endpoint is None
    assert locate("https://a.org/", SAMPLE).s3_endpoint is None


@pytest.mark.parametrize("origin", [PUBLIC_ORIGIN, SAMPLE, MIRROR], ids=["public", "sample", "folder"])
@pytest.mark.parametrize("url", ["/data/x.tif", "file:///data/x.tif"])
def test_local_paths_are_never_mapped(url: str, origin: Origin) -> None:
    assert locate(url, origin) == Location("/data/x.tif")


def test_an_address_of_this_machine_is_never_mapped() -> None:
    assert locate("http://127.0.0.1:8000/x", SAMPLE).url == "http://127.0.0.1:8000/x"


def test_a_server_is_asked_for_only_when_its_protocol_is_needed() -> None:
    """So that a sample run over HTTP alone never starts the FTP or S3 server."""
    asked: list[str] = []

    def base(protocol: str) -> str:
        asked.append(protocol)
        return BASES[protocol]

    locate("gs://b/k", Origin("sample", endpoints=base))
    assert asked == ["http"]


@pytest.mark.parametrize("url", ["gopher://a/b", "https:///x", "file://other/x"])
def test_an_unusable_url_is_refused_by_name(url: str) -> None:
    with pytest.raises(SourceError, match=url.split("/")[0]):
        locate(url, PUBLIC_ORIGIN)


def test_a_url_cannot_lead_out_of_a_mirror() -> None:
    with pytest.raises(SourceError, match="out of the mirror"):
        locate("https://a.org/../../etc/passwd", MIRROR)
