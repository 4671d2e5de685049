"""The servers, asked over loopback by clients that are not ours."""

import ftplib
import io
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from em_assets import datasets, sample, sources
from em_assets.settings import Settings
from em_assets.sources.origins import Origin, locate

EPFL = "https://documents.epfl.ch/groups/c/cv/cvlab-unit/www/data/%20ElectronMicroscopy_Hippocampus/volumedata.tif"
EMPIAR = "https://ftp.ebi.ac.uk/empiar/world_availability/11759/data/"
U2OS = (
    "ftp://ftp.ebi.ac.uk/pub/databases/IDR/idr0086-miron-micrographs/20200610-ftp/experimentD/Miron_FIB-SEM/"
    "Miron_FIB-SEM_processed/Figure_S3B_FIB-SEM_U2OS_20x20x20nm_xy.tif"
)
HEMIBRAIN_INFO = "gs://neuroglancer-janelia-flyem-hemibrain/emdata/clahe_yz/jpeg/info"
LABELS = "https://sample.em-assets.invalid/em_labels_sample/labels.tif"
JRC_BUCKET = "janelia-cosem-datasets"
JRC_PREFIX = "jrc_mus-nacc-2/jrc_mus-nacc-2.zarr/recon-2/em/fibsem-int16/"


@pytest.fixture
def origin(sample_settings: Settings) -> Iterator[Origin]:
    with sample.serving(sample_settings) as served:
        yield served


def get(url: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body, errors included."""
    request = urllib.request.Request(
        url, method=method, headers={key.replace("_", "-"): headers[key] for key in headers}
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


@pytest.fixture
def epfl(origin: Origin) -> str:
    return locate(EPFL, origin).url


@pytest.fixture
def epfl_bytes(look_alikes: Path) -> bytes:
    path = "http/documents.epfl.ch/groups/c/cv/cvlab-unit/www/data/ ElectronMicroscopy_Hippocampus/volumedata.tif"
    return (look_alikes / path).read_bytes()


def test_a_get_gives_the_file_and_a_head_the_same_headers_without_it(epfl: str, epfl_bytes: bytes) -> None:
    status, headers, body = get(epfl)
    assert (status, body) == (200, epfl_bytes)
    assert headers["Content-Length"] == str(len(epfl_bytes))
    assert headers["Accept-Ranges"] == "bytes"
    head_status, head_headers, head_body = get(epfl, "HEAD")
    assert (head_status, head_body) == (200, b"")
    assert {**head_headers, "Date": ""} == {**headers, "Date": ""}


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("bytes=0-9", 0, 10), ("bytes=100-", 100, None), ("bytes=-7", -7, None), ("bytes=5-99999999", 5, None)],
)
def test_a_range_gives_that_part(epfl: str, epfl_bytes: bytes, asked: str, start: int, stop: int | None) -> None:
    status, headers, body = get(epfl, Range=asked)
    assert (status, body) == (206, epfl_bytes[start:stop])
    first = start % len(epfl_bytes)
    assert headers["Content-Range"] == f"bytes {first}-{first + len(body) - 1}/{len(epfl_bytes)}"


def test_a_range_beyond_the_file_is_refused_and_odd_ones_are_ignored(epfl: str, epfl_bytes: bytes) -> None:
    status, headers, _ = get(epfl, Range=f"bytes={len(epfl_bytes)}-")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(epfl_bytes)}")
    for odd in ("bytes=0-1,4-5", "bytes=9-2", "lines=1-2", "bytes=-"):
        assert get(epfl, Range=odd)[0] == 200


def test_a_resume_goes_on_only_with_the_same_version(epfl: str, epfl_bytes: bytes) -> None:
    _, headers, _ = get(epfl, "HEAD")
    for validator in (headers["ETag"], headers["Last-Modified"]):
        status, _, body = get(epfl, Range="bytes=1000-", If_Range=validator)
        assert (status, body) == (206, epfl_bytes[1000:])
    status, _, body = get(epfl, Range="bytes=1000-", If_Range='"another"')
    assert (status, body) == (200, epfl_bytes)
    assert get(epfl, If_None_Match=headers["ETag"])[0] == 304


def test_one_connection_carries_many_requests(epfl: str) -> None:
    parts = urlsplit(epfl)
    assert parts.hostname is not None
    connection = HTTPConnection(parts.hostname, parts.port)
    sizes = []
    for _ in range(3):
        connection.request("GET", parts.path, headers={"Range": "bytes=0-99"})
        sizes.append(len(connection.getresponse().read()))
    connection.close()
    assert sizes == [100, 100, 100]


def test_a_folder_is_shown_as_a_page_that_fsspec_can_list(origin: Origin) -> None:
    import fsspec

    url = locate(EMPIAR, origin).url
    names = {entry.rsplit("data/", 1)[1] for entry in fsspec.filesystem("http").ls(url, detail=False)}
    assert {f"F57-8_test1_3VBSED_slice_{number:04d}.dm3" for number in range(16)} <= names
    assert {"F57-8_test1.xml", "trakem2/"} <= names
    assert get(url.rstrip("/"))[0] == 200  # by way of a redirect


def test_what_is_not_there_or_leads_out_of_the_root_is_404(origin: Origin, epfl: str) -> None:
    base = epfl.split("/documents.epfl.ch")[0]
    assert get(epfl + "x")[0] == 404
    assert get(epfl + "/")[0] == 404
    assert get(locate("https://nowhere.example/", origin).url)[0] == 404
    for path in ("/../sample.json", "/%2e%2e/sample.json", "/documents.epfl.ch/..%2f..%2fsample.json", "/a%00b"):
        assert get(base + path)[0] == 404
    assert get(base + "/../../../../etc/passwd")[0] == 404


def test_the_object_store_has_no_index_pages(origin: Origin) -> None:
    assert json.loads(get(locate(HEMIBRAIN_INFO, origin).url)[2])["data_type"] == "uint8"
    assert get(locate(HEMIBRAIN_INFO.removesuffix("info"), origin).url)[0] == 404


def test_the_archives_record_is_answered_as_json(origin: Origin) -> None:
    _, headers, body = get(locate("https://www.ebi.ac.uk/empiar/api/entry/11759/", origin).url)
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body)["EMPIAR-11759"]["entry_doi"] == "10.6019/EMPIAR-11759"


def test_ftp_lists_with_sizes_and_resumes(origin: Origin, look_alikes: Path) -> None:
    parts = urlsplit(locate(U2OS, origin).url)
    folder, name = parts.path.rsplit("/", 1)
    expected = (look_alikes / f"http{parts.path}").read_bytes()
    received = bytearray()
    with ftplib.FTP() as ftp:
        ftp.connect(parts.hostname or "", parts.port or 0, timeout=20)
        ftp.login()
        facts = dict(ftp.mlsd(folder))[name]
        ftp.retrbinary(f"RETR {parts.path}", received.extend, rest=1000)
        with pytest.raises(ftplib.error_perm):
            ftp.storbinary(f"STOR {folder}/new.tif", io.BytesIO(b"new"))
        with pytest.raises(ftplib.error_perm):
            ftp.size("/../sample.json")
    assert (facts["size"], facts["modify"]) == (str(len(expected)), "20240115000000")
    assert bytes(received) == expected[1000:]


def test_ftp_and_https_show_one_tree(origin: Origin) -> None:
    parts = urlsplit(locate(EMPIAR.replace("https:", "ftp:"), origin).url)
    with ftplib.FTP() as ftp:
        ftp.connect(parts.hostname or "", parts.port or 0, timeout=20)
        ftp.login()
        sizes = {name: facts["size"] for name, facts in ftp.mlsd(parts.path) if facts["type"] == "file"}
    assert len(sizes) == 17
    for name, size in sizes.items():
        assert get(locate(EMPIAR + name, origin).url, "HEAD")[1]["Content-Length"] == size


def s3_store(origin: Origin, bucket: str) -> Any:
    from obstore.store import S3Store

    endpoint = locate(f"s3://{bucket}/", origin).s3_endpoint
    return S3Store(
        bucket,
        endpoint=endpoint,
        region="us-east-1",
        skip_signature=True,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


def test_s3_lists_and_reads_without_credentials(origin: Origin, look_alikes: Path) -> None:
    import obstore

    store = s3_store(origin, JRC_BUCKET)
    listed = {meta["path"]: meta["size"] for batch in obstore.list(store, JRC_PREFIX) for meta in batch}
    root = look_alikes / "s3" / JRC_BUCKET
    assert listed == {
        path.relative_to(root).as_posix(): path.stat().st_size
        for path in (root / JRC_PREFIX).rglob("*")
        if path.is_file()
    }
    content = obstore.get(store, JRC_PREFIX + "s0/0/0/0").bytes()
    assert bytes(content) == (root / JRC_PREFIX / "s0/0/0/0").read_bytes()


def test_a_file_changed_on_the_disk_is_a_changed_source_over_every_protocol(own_settings: Settings) -> None:
    import obstore

    root = own_settings.sample_sources_dir
    http_file, s3_file = root / "http" / LABELS.split("://")[1], root / "s3" / JRC_BUCKET / JRC_PREFIX / "s8/0/0/0"
    with sample.serving(own_settings) as origin:
        url = locate(LABELS, origin).url
        etag = get(url, "HEAD")[1]["ETag"]
        before = obstore.head(s3_store(origin, JRC_BUCKET), JRC_PREFIX + "s8/0/0/0")["e_tag"]
        content, chunk = http_file.read_bytes(), s3_file.read_bytes()
        http_file.write_bytes(content[:-1] + b"\7")
        s3_file.write_bytes(chunk + b"\7")
        assert get(url, "HEAD")[1]["ETag"] != etag
        assert obstore.head(s3_store(origin, JRC_BUCKET), JRC_PREFIX + "s8/0/0/0")["e_tag"] != before
        http_file.write_bytes(content)
        s3_file.write_bytes(chunk)
        assert get(url, "HEAD")[1]["ETag"] == etag  # taken back: the same version again
        assert obstore.head(s3_store(origin, JRC_BUCKET), JRC_PREFIX + "s8/0/0/0")["e_tag"] == before
        s3_file.unlink()
        with pytest.raises(FileNotFoundError):
            obstore.head(s3_store(origin, JRC_BUCKET), JRC_PREFIX + "s8/0/0/0")


def test_validators_are_the_same_in_another_process(sample_settings: Settings, epfl: str) -> None:
    code = """
import sys, urllib.request
from pathlib import Path
from em_assets import datasets, sample, sources
from em_assets.settings import Settings
from em_assets.sources.origins import locate
with sample.serving(Settings(store=Path(sys.argv[1]), origin="sample")) as origin:
    with urllib.request.urlopen(locate(sys.argv[2], origin).url) as answer:
        print(answer.headers["ETag"], answer.headers["Last-Modified"])
"""
    command = [sys.executable, "-c", code, str(sample_settings.store), EPFL]
    elsewhere = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    _, headers, _ = get(epfl, "HEAD")
    assert elsewhere == f"{headers['ETag']} {headers['Last-Modified']}\n"


def test_the_servers_are_shared_while_somebody_is_inside_and_gone_afterwards(sample_settings: Settings) -> None:
    with sample.serving(sample_settings) as outer:
        with sample.serving(sample_settings) as inner:
            url = locate(EPFL, inner).url
        assert locate(EPFL, outer).url == url
        assert get(url, "HEAD")[0] == 200
    with pytest.raises(urllib.error.URLError):
        get(url, "HEAD")
    with pytest.raises(RuntimeError, match="only inside"):
        locate(EPFL, outer)


def test_two_stores_of_one_process_are_served_over_s3_in_turn(
    own_settings: Settings, sample_settings: Settings
) -> None:
    import obstore

    key = JRC_PREFIX + ".zattrs"
    (own_settings.sample_sources_dir / "s3" / JRC_BUCKET / key).write_text("{}")
    with sample.serving(sample_settings) as untouched, sample.serving(own_settings) as changed:
        for _ in range(2):
            assert obstore.get(s3_store(changed, JRC_BUCKET), key).bytes() == b"{}"
            assert len(obstore.get(s3_store(untouched, JRC_BUCKET), key).bytes()) > 1000


def test_every_dataset_of_the_registry_is_served_and_no_frame_is_asked_for(
    sample_settings: Settings, origin: Origin
) -> None:
    registry = datasets.load(sample_settings)
    assert {"em_labels_sample", "visor_bb001"} < set(registry)
    for dataset in registry.values():
        observed = sources.observe(dataset.sources, origin)
        assert observed.files
        assert not [file.path for _, file in observed.files if "Frames" in file.path]


def test_public_and_folder_origins_need_no_servers(tmp_path: Path) -> None:
    with sample.serving(Settings(store=tmp_path / "store")) as origin:
        assert locate(EPFL, origin).url == EPFL
    with sample.serving(Settings(store=tmp_path / "store", origin=str(tmp_path))) as origin:
        assert locate(LABELS, origin).url == str(tmp_path / LABELS.split("://")[1])
    assert not (tmp_path / "store").exists()
