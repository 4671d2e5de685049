"""Index pages as the servers of this world write them: every file below is found, and nothing else."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from faulty_web import Exchange, faulty_web
from scripted_server import Script

from em_assets.errors import SourceError, SourceMissingError, SourceUnreachableError
from em_assets.model import Source
from em_assets.sources import acquire, observe
from em_assets.sources.origins import PUBLIC_ORIGIN
from em_assets.sources.wire import Patience

APACHE = """<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">
<html><head><title>Index of /d</title></head><body>
<table><tr><th valign="top"><img src="/icons/blank.gif" alt="[ICO]"></th><th><a href="?C=N;O=D">Name</a></th>
<th><a href="?C=M;O=A">Last modified</a></th><th><a href="?C=S;O=A">Size</a></th></tr>
<tr><td><img src="/icons/back.gif"></td><td><a href="/">Parent Directory</a></td><td>&nbsp;</td></tr>
<tr><td></td><td><a href="a%20b%2b&amp;c%25.tif">a b+&amp;c%.tif</a></td><td align="right">2024-01-15 09:30  </td></tr>
<tr><td></td><td><a href="sub/">sub/</a></td><td align="right">2024-01-15 09:30  </td><td>  - </td></tr>
</table><address>Apache/2.4.57 (Debian) Server at a.org Port 80</address></body></html>"""
NGINX = """<html>
<head><title>Index of /d/</title></head>
<body>
<h1>Index of /d/</h1><hr><pre><a href="../">../</a>
<a href="sub/">sub/</a>                                               15-Jan-2024 09:30                   -
<a href="a%20b%2B%26c%25.tif">a b+&amp;c%.tif</a>                    15-Jan-2024 09:30                   3
<a href="NAME">a_name_that_is_longer_than_what_nginx_shows_of_o..&gt;</a> 15-Jan-2024 09:30               3
</pre><hr></body>
</html>""".replace("NAME", "n" * 80 + ".tif")
LIGHTTPD = """<!DOCTYPE html><html><head><title>Index of /d/</title></head><body><div class="list"><table><tbody>
<tr class="d"><td class="n"><a href="../">..</a>/</td><td class="m">&nbsp;</td><td class="t">Directory</td></tr>
<tr class="d"><td class="n"><a href="sub/">sub</a>/</td><td class="m">2024-Jan-15 09:30:00</td></tr>
<tr><td class="n"><a href="a%20b%2B%26c%25.tif">a b+&amp;c%.tif</a></td><td class="s">0.1K</td></tr>
</tbody></table></div><script>var a = '<a href="no.tif">';</script></body></html>"""
IIS = """<html><head><title>a.org - /d/</title></head><body><H1>a.org - /d/</H1><hr>
<pre><A HREF="/">[To Parent Directory]</A><br><br> 1/15/2024  9:30 AM   3 <A HREF="/d/a%20b+&amp;c%25.tif">a b</A><br>
 1/15/2024  9:30 AM        &lt;dir&gt; <A HREF="/d/sub/">sub</A><br></pre><hr></body></html>"""
CADDY = """<!DOCTYPE html><html><body><header><h1><a href="/">/</a><a href="./">d</a>/</h1></header>
<a href="./?sort=name&order=desc">Name</a><a href="./?sort=size&order=asc">Size</a><a href="..">Up</a>
<table><tr class="file"><td><a href="./sub/"><span class="name">sub/</span></a></td></tr>
<tr class="file"><td><a href="./a%20b+&amp;c%25.tif"><span class="name">a b</span></a></td></tr></table></body>"""
H5AI = """<!DOCTYPE html><html><head><title>index - powered by h5ai</title></head><body><div id="fallback"><table>
<tr><td class="fb-n"><a href="..">Parent Directory</a></td></tr><tr><td><a href="/d/sub/">sub</a></td></tr>
<tr><td class="fb-n"><a href="/d/a%20b%2B%26c%25.tif">a b+&amp;c%.tif</a></td></tr></table></div></body></html>"""
ABSOLUTE = '<a href="HOST/d/sub/">s</a><a href=" HOST/d/a%20b%2b%26c%25.tif\n">a</a><a href="http://[no">n</a>'
BASED = '<html><head><base href="/"></head><a href="d/sub/">s</a><a href="d/a%20b%2b%26c%25.tif">a</a></html>'
PAGES = {
    "apache": APACHE,
    "nginx": NGINX,
    "lighttpd": LIGHTTPD,
    "iis": IIS,
    "caddy": CADDY,
    "h5ai": H5AI,
    "absolute": ABSOLUTE,
    "based": BASED,
}
NAME = "a b+&c%.tif"


def listed(url: str, patience: Patience, **how: tuple[str, ...]) -> dict[str, int | None]:
    """Path → size of everything that a source lists."""
    seen = observe([Source(url=url, **how)], PUBLIC_ORIGIN, patience=patience)
    return {remote.path: remote.size_bytes for _, remote in seen.files}


@pytest.mark.parametrize("kind", PAGES)
def test_whatever_server_writes_it_its_files_are_found_and_come(
    script: Script, hurried: Patience, tmp_path: Path, kind: str
) -> None:
    script.says("/d/", PAGES[kind].replace("HOST", script.url).encode(), headers={"Content-Type": "text/html"})
    script.says("/d/sub/", b'<a href="/d/">up</a><a href="x.tif">x</a>')
    content = {NAME: b"one", "sub/x.tif": b"II*\0"}
    for name in ("%2b&c%25", "%2B&c%25", "%2B%26c%25", "+&c%25", "%2b%26c%25"):
        script.says(f"/d/a%20b{name}.tif", content[NAME])
    script.says("/d/sub/x.tif", content["sub/x.tif"])
    if kind == "nginx":
        content["n" * 80 + ".tif"] = b"two"
        script.says(f"/d/{'n' * 80}.tif", b"two")
    acquire([Source(url=f"{script.url}/d/")], PUBLIC_ORIGIN, tmp_path / "raw", log=str, patience=hurried)
    files = tmp_path / "raw" / "files"
    assert {path: (files / path).read_bytes() for path in content} == content
    assert sum(path.is_file() for path in files.rglob("*")) == len(content)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """Python's own server, for `tmp_path/d`."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    (tmp_path / "d").mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "d")))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_names_of_all_kinds_come_from_pythons_own_server(served: str, tmp_path: Path, hurried: Patience) -> None:
    names = [
        "a b.tif",
        "a+b.tif",
        "100%.tif",
        "ü ö.tif",
        "日本.tif",
        "a#b.tif",
        "a?b=c.tif",
        "a&amp;b.tif",
        "a'b\".tif",
    ]
    for name in (*names, "sub #1/x;y.tif"):
        path = tmp_path / "d" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"II*\0" + name.encode())
    (tmp_path / "d" / "linked").symlink_to(tmp_path / "d" / "sub #1")
    acquire([Source(url=served)], PUBLIC_ORIGIN, tmp_path / "raw", log=str, patience=hurried)
    for name in (*names, "sub #1/x;y.tif"):
        assert (tmp_path / "raw" / "files" / name).read_bytes() == b"II*\0" + name.encode()
    assert (tmp_path / "raw" / "files" / "linked" / "x;y.tif").is_file()


def test_a_folder_linked_without_its_slash_is_a_folder(served: str, tmp_path: Path, hurried: Patience) -> None:
    """Of pages written by hand: the folder's own page was fetched as a file."""
    (tmp_path / "d" / "sub").mkdir()
    (tmp_path / "d" / "sub" / "x.tif").write_bytes(b"II*\0")
    (tmp_path / "d" / "index.html").write_text('<a href="sub">sub</a>')
    assert listed(served, hurried) == {"sub/x.tif": 4}


@pytest.mark.parametrize("to", ["/v2/d/", "http://localhost:{port}/d2/"], ids=["elsewhere", "another-host"])
def test_a_folder_that_has_moved_is_followed(script: Script, hurried: Patience, tmp_path: Path, to: str) -> None:
    """Archives move: `http` to `https`, `www.` to none. None of the links lay below the old address."""
    to = to.format(port=script.url.rsplit(":", 1)[1])
    place = "/" + to.removeprefix("http://").split("/", 1)[1] if to.startswith("http") else to
    script.says("/d/", status=302, headers={"Location": to})
    script.says(place, b'<a href="a.tif">a</a><a href="sub/">s</a>')
    script.says(f"{place}sub/", b'<a href="b.tif">b</a>')
    for name in ("a.tif", "sub/b.tif"):
        script.says(f"/d/{name}", status=302, headers={"Location": f"{to}{name}"})
        script.says(f"{place}{name}", b"II*\0" + name.encode(), headers={"ETag": f'"{name}"'})
    source = Source(url=f"{script.url}/d/")
    rows = acquire([source], PUBLIC_ORIGIN, tmp_path / "raw", log=str, patience=hurried).files
    assert [row.url for row in rows] == [f"{source.url}a.tif", f"{source.url}sub/b.tif"]
    assert (tmp_path / "raw" / "files" / "sub" / "b.tif").read_bytes() == b"II*\0sub/b.tif"


def test_a_folder_below_that_leads_elsewhere_is_an_error_and_not_left_out(script: Script, hurried: Patience) -> None:
    """As one that wants a login: its files were missing without a word. Who does not want them says so."""
    script.says("/d/", b'<a href="a.tif">a</a><a href="closed/">c</a>')
    script.says("/d/a.tif", b"a")
    script.says("/d/closed/", status=302, headers={"Location": "/login?next=closed"})
    script.says("/login?next=closed", b'<a href="/help.html">help</a>')
    with pytest.raises(SourceError, match=r"/d/closed/: sent on to .*/login.*`exclude`"):
        listed(f"{script.url}/d/", hurried)
    assert listed(f"{script.url}/d/", hurried, exclude=("closed/**",)) == {"a.tif": 1}


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("text/html", "é.tif".encode()),
        ("text/html; charset=iso-8859-1", "é.tif".encode("latin-1")),
        ("text/html", "é.tif".encode("latin-1")),
        ("text/html; charset=no-such", "é.tif".encode()),
    ],
    ids=["said-by-none", "latin", "latin-said-by-none", "unknown"],
)
def test_names_that_no_server_escaped_are_read(script: Script, hurried: Patience, kind: str, content: bytes) -> None:
    script.says("/d/", b'<a href="' + content + b'">e</a>', headers={"Content-Type": kind})
    script.says("/d/%C3%A9.tif", b"e")
    assert listed(f"{script.url}/d/", hurried) == {"é.tif": 1}


def test_links_to_the_same_server_by_its_other_names_are_followed(script: Script, hurried: Patience) -> None:
    """Host names have no case, and port 80 need not be said."""
    port = script.url.rsplit(":", 1)[1]
    script.says("/d/", f'<a href="http://LocalHost:{port}/d/a.tif">a</a>'.encode())
    script.says("/d/a.tif", b"a")
    assert listed(f"http://localhost:{port}/d/", hurried) == {"a.tif": 1}


def test_a_page_that_is_cut_short_is_no_listing(script: Script, hurried: Patience) -> None:
    script.says("/d/", b'<a href="a.tif">a</a>', headers={"Content-Length": "500"})
    script.says("/d/a.tif", b"a")
    with pytest.raises(SourceUnreachableError, match="broke off"):
        listed(f"{script.url}/d/", hurried)


def test_a_file_whose_head_a_signature_forbids_is_listed_by_get(script: Script, hurried: Patience) -> None:
    """What is sent on to a signed address (figshare, Dataverse) may be asked for by GET and nothing else."""
    script.says("/a.tif", status=302, headers={"Location": "/bucket/a.tif?X-Amz-Signature=1"})
    script.says("/bucket/a.tif?X-Amz-Signature=1", b"abc", head_status=403)
    assert listed(f"{script.url}/a.tif", hurried) == {"a.tif": 3}
    script.says("/closed.tif", status=403)
    with pytest.raises(SourceMissingError, match="HTTP 403, not public"):
        listed(f"{script.url}/closed.tif", hurried)


def test_folders_in_a_circle_end(served: str, tmp_path: Path, hurried: Patience) -> None:
    """Linux follows forty links of a path: the fortieth copy is the last, and `exclude` saves all of them."""
    (tmp_path / "d" / "a.tif").write_bytes(b"II*\0")
    (tmp_path / "d" / "loop").symlink_to(tmp_path / "d")
    assert listed(served, hurried, exclude=("loop/**",)) == {"a.tif": 4}
    with pytest.raises(SourceMissingError, match="loop/loop"):
        listed(served, hurried)


def test_a_page_that_leads_into_itself_for_ever_ends_soon(hurried: Patience) -> None:
    """A hundred thousand folders were asked for, one behind the other, before it was an error."""

    def answer(x: Exchange, _: threading.Event) -> bool:
        x.plain(b'<a href="again/">again</a><a href="and/">and</a>', Content_Type="text/html")
        return True

    with faulty_web({"d": answer}) as web:
        with pytest.raises(SourceError, match=r"and/and/.* circle.*`exclude`"):
            listed(f"{web.url}/d/", hurried)
        assert len(web.asked) < 400
