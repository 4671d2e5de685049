"""FTP as the servers of this world speak it: every file below is found with its size, or an error says why not."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from faulty_ftp import running

from em_assets.errors import SourceError, SourceUnreachableError
from em_assets.model import Source
from em_assets.sources import acquire, observe
from em_assets.sources.origins import PUBLIC_ORIGIN
from em_assets.sources.wire import Patience

CONTENT = {"a b.tif": b"II*\0one", "sub/c  d.tif": b"II*\0two", "é#1%.tif": b"II*\0three"}
UNIX = "{kind}rw-r--r--   1 ftp      ftp {size:>13} Jan 15 09:30 {name}{target}"
OLD_UNIX = "{kind}rw-r--r--   1 1000 1000 {size:>13} Jan 15  2024 {name}{target}"
NO_GROUP = "{kind}rw-r--r--   1 nobody {size:>13} Feb  5 09:30 {name}{target}"
ISO = "{kind}rw-r--r--+  1 me some group {size:>8} 2024-01-15 09:30 {name}{target}"
DOS = "01-15-24  09:30AM {dos:>20} {name}"
LONG_DOS = "2024-01-15  21:30 {dos:>20} {name}"
STYLES = {"unix": UNIX, "unix-by-year": OLD_UNIX, "no-group": NO_GROUP, "iso": ISO, "dos": DOS, "dos-by-24": LONG_DOS}
LATIN = f"{UNIX} "
Serve = Callable[..., str]


@contextmanager
def _serving(root: Path, refused: dict[str, str], style: str | None, masquerade: str | None) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from pyftpdlib.authorizers import DummyAuthorizer
        from pyftpdlib.filesystems import AbstractedFS
        from pyftpdlib.handlers import FTPHandler
        from pyftpdlib.ioloop import IOLoop
        from pyftpdlib.servers import FTPServer

    class Files(AbstractedFS):  # type: ignore[misc]
        def format_list(self, basedir: str, listing: list[str], ignore_err: bool = True) -> Iterator[bytes]:
            yield b"total 12\r\n"
            for name in sorted(listing):
                path = Path(basedir, name)
                kind = "l" if path.is_symlink() else "d" if path.is_dir() else "-"
                target = f" -> {path.readlink()}" if kind == "l" else ""
                size = path.stat().st_size
                said = {"dos": "<DIR>" if path.is_dir() else size, "kind": kind, "size": size, "target": target}
                line = f"{(style or UNIX).format(name=name, **said)}\r\n"
                yield line.encode("latin-1" if style == LATIN else "utf-8")

        def format_mlsx(self, *args: Any, **how: Any) -> Iterator[bytes]:
            for line in super().format_mlsx(*args, **how):
                is_link = Path(args[0], line.decode().strip().split("; ", 1)[-1].split(" ", 1)[-1]).is_symlink()
                yield line.replace(b"type=file", b"type=OS.unix=slink:/x" if is_link else b"Type=File")

    class Handler(FTPHandler):  # type: ignore[misc]
        authorizer = DummyAuthorizer()
        abstracted_fs = Files
        masquerade_address = masquerade
        before = ""

        def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
            behind, self.before = f"{self.before} {cmd}", cmd
            if cmd in refused or behind in refused:
                reply = refused.get(cmd) or refused[behind]
                super(FTPHandler, self).push(f"{reply}\r\n".encode("latin-1"))  # its own `push` knows UTF-8 alone
                return
            super().pre_process_command(line, cmd, arg)

        def log(self, *args: Any, **kwargs: Any) -> None:
            pass

        logline = logerror = log_cmd = log_transfer = log

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        Handler.authorizer.add_anonymous(str(root))
    loop = IOLoop()
    with running(loop, FTPServer(("127.0.0.1", 0), Handler, ioloop=loop)) as url:
        yield f"{url}/"


@pytest.fixture
def served(tmp_path: Path) -> Path:
    for name, content in CONTENT.items():
        path = tmp_path / "served" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "served"


@pytest.fixture
def serve(served: Path) -> Iterator[Serve]:
    """A server for `served` that refuses commands, writes LIST in a style, or says another address of its own."""
    with ExitStack() as stack:

        def start(
            refused: dict[str, str] | None = None, style: str | None = None, masquerade: str | None = None
        ) -> str:
            return stack.enter_context(_serving(served, refused or {}, style, masquerade))

        yield start


def fetched(url: str, raw: Path, patience: Patience) -> dict[str, bytes]:
    acquire([Source(url=url)], PUBLIC_ORIGIN, raw, log=str, patience=patience)
    files = raw / "files"
    return {path.relative_to(files).as_posix(): path.read_bytes() for path in files.rglob("*") if path.is_file()}


@pytest.mark.parametrize("style", STYLES)
def test_a_listing_of_any_style_names_every_file(serve: Serve, tmp_path: Path, hurried: Patience, style: str) -> None:
    """Lines of IIS, and of those who leave the group out, were no lines: the folder was empty."""
    url = serve({"MLSD": "500 Unknown command."}, STYLES[style])
    assert fetched(url, tmp_path / "raw", hurried) == CONTENT


@pytest.mark.parametrize("refused", [{}, {"MLSD": "502 No."}], ids=["mlsd", "list"])
def test_a_linked_file_is_a_file_and_circles_are_none(
    serve: Serve, served: Path, tmp_path: Path, hurried: Patience, refused: dict[str, str]
) -> None:
    """Neither `l` nor `OS.unix=slink` was known: the file was missing without a word."""
    (served / "link.tif").symlink_to("a b.tif")
    if refused:
        (served / "loop").symlink_to(".")
    assert fetched(serve(refused), tmp_path / "raw", hurried) == {**CONTENT, "link.tif": CONTENT["a b.tif"]}


@pytest.mark.parametrize(
    "refused",
    [
        {"OPTS": "501 No such option."},
        {"SIZE": "502 Not implemented."},
        {"MLSD": "500 No.", "SIZE": "502 No."},
        {"MLSD": "500 No.", "MDTM": "502 No."},
        {"EPSV": "500 No.", "REST": "502 No."},
    ],
    ids=lambda refused: " ".join(f"no-{command}" for command in refused),
)
def test_what_a_server_does_not_know_is_done_otherwise(
    serve: Serve, tmp_path: Path, hurried: Patience, refused: dict[str, str]
) -> None:
    assert fetched(serve(refused), tmp_path / "raw", hurried) == CONTENT


def test_a_server_behind_a_router_may_say_an_address_that_leads_nowhere(
    serve: Serve, tmp_path: Path, hurried: Patience
) -> None:
    assert fetched(serve(masquerade="10.255.255.1"), tmp_path / "raw", hurried) == CONTENT


def test_a_line_that_nobody_understands_is_an_error_and_no_file_less(serve: Serve, hurried: Patience) -> None:
    url = serve({"MLSD": "500 No."}, "+i8388621.29609,m824255902,r,s{size},\t{name}")
    with pytest.raises(SourceError, match=r"LIST.*8388621.*a b\.tif"):
        observe([Source(url=url)], PUBLIC_ORIGIN, patience=hurried)


def test_one_file_is_listed_by_a_server_without_sizes(serve: Serve, tmp_path: Path, hurried: Patience) -> None:
    url = serve({"SIZE": "502 Not implemented."})
    assert fetched(f"{url}a%20b.tif", tmp_path / "raw", hurried) == {"a b.tif": CONTENT["a b.tif"]}


def test_folders_in_a_circle_are_an_error(serve: Serve, served: Path, hurried: Patience) -> None:
    """By MLSD as pyftpdlib has it, a link to a folder is a folder."""
    (served / ("loop" * 10)).symlink_to(".")
    with pytest.raises(SourceError, match=r"looploop.* circle.*`exclude`"):
        observe([Source(url=serve())], PUBLIC_ORIGIN, patience=hurried)
    source = Source(url=serve(), exclude=("loop*/**",))
    assert {remote.path for _, remote in observe([source], PUBLIC_ORIGIN, patience=hurried).files} == CONTENT.keys()


def test_names_that_are_not_in_utf_8_are_an_error_that_does_not_pass(serve: Serve, hurried: Patience) -> None:
    """It was said that the server did not answer, and it was asked again and again."""
    with pytest.raises(SourceError, match=r"not in UTF-8") as raised:
        observe([Source(url=serve({"MLSD": "500 No."}, LATIN))], PUBLIC_ORIGIN, patience=hurried)
    assert not isinstance(raised.value, SourceUnreachableError)


@pytest.mark.parametrize(
    "refused",
    [{"QUIT": "221 À bientôt."}, {"MDTM TYPE": "421 Délai dépassé."}, {"MDTM": "213"}],
    ids=["a farewell", "the end of a session that was kept", "a time that is none"],
)
def test_words_that_are_no_utf_8_and_replies_without_any_are_borne(
    serve: Serve, tmp_path: Path, hurried: Patience, refused: dict[str, str]
) -> None:
    """They were errors of Python's: a farewell in Latin-1 ended a run whose bytes had all arrived."""
    assert fetched(serve(refused), tmp_path / "raw", hurried) == CONTENT
