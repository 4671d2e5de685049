"""FTP, anonymous: sizes and times from MLSD, or from SIZE and MDTM where a server has no MLSD.

ftplib takes "226 transfer complete" after half a file for success, so the caller compares bytes with the listed size.
"""

import ftplib
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, islice, repeat
from threading import get_ident
from urllib.parse import unquote, urlsplit

from em_assets.errors import SourceError, SourceMissingError, SourceUnreachableError
from em_assets.sources.ftp_lines import LINK, read_lines
from em_assets.sources.globs import Wanted
from em_assets.sources.origins import Location
from em_assets.sources.paths import refuse_circle
from em_assets.sources.sessions import others_kept
from em_assets.sources.wire import BLOCK_BYTES, ELSEWHERE, LATER, Body, Entry, Patience, Resume, in_time, modified

MOST_FOLDERS = 100_000
"""That one source is listed through; links may lead in circles."""

IN_A_ROW = 32
"""Questions that a server without MLSD is sent before it has answered the first."""

PASSING_ERRORS: tuple[type[Exception], ...] = (
    ftplib.error_temp,
    ftplib.error_reply,
    ftplib.error_proto,
    EOFError,
    OSError,
)
BROKEN_OFF: tuple[type[Exception], ...] = (ftplib.error_perm, *PASSING_ERRORS)
NO_ANSWER: tuple[type[Exception], ...] = (ValueError, *PASSING_ERRORS)
WHATEVER: tuple[type[Exception], ...] = (ftplib.error_perm, *NO_ANSWER)
"""That a server says, or does not; words whose letters are none of UTF-8 are ValueErrors."""


def entries(location: Location, wanted: Wanted, patience: Patience) -> list[Entry]:
    """List the wanted files below a folder, or the one file that the address is.

    Raises
    ------
    SourceMissingError
        The server says that it is not there, or not public.
    SourceUnreachableError
        No answer, or one that says to come back later.
    """
    rows = chain((IN_A_ROW,), repeat(1))  # after whatever has failed: a question waits for the answer before
    return patience(lambda: _entries(location, wanted, patience, next(rows)))


def names(location: Location, patience: Patience) -> list[str]:
    """Names directly in a folder, those of folders with a slash at the end; sorted.

    Raises
    ------
    SourceMissingError, SourceUnreachableError
        As for `entries`.
    """

    def ask() -> list[str]:
        with _connected(location, patience) as (ftp, path):
            listed = _listed(ftp, path, patience)
        return sorted(f"{name}/" if facts.get("type") == "dir" else name for name, facts in listed)

    return patience(ask)


@contextmanager
def body(location: Location, patience: Patience, resume: Resume | None = None) -> Iterator[Body]:
    """Give the file's bytes, in binary mode; the rest of them where size and time are still those of before."""
    with _connected(location, patience) as (ftp, path):
        size_bytes, validators = _size(ftp, path), _modified(ftp, path)
        start = _restarted_at(ftp, resume, validators)
        with ftp.transfercmd(f"RETR {path}", rest=start or None) as connection:
            yield Body(
                _chunks(ftp, connection, location.url, None if size_bytes is None else size_bytes - start, patience),
                size_bytes,
                validators,
                start=start,
                resume_with=validators[0] if validators and size_bytes is not None else None,
                recheck=lambda: _rechecked(ftp, path, location, patience),
            )


def _restarted_at(ftp: ftplib.FTP, resume: Resume | None, validators: tuple[str, ...]) -> int:
    """Where the server will go on; 0 where the file has changed, or the server knows no REST."""
    if resume is None or resume.validator not in validators:
        return 0
    try:
        ftp.voidcmd("REST 0")  # "350": it will do so for the transfer, too
    except (ftplib.error_perm, ftplib.error_reply) as error:
        return resume.start if str(error).startswith("350") else 0
    return resume.start


def _entries(location: Location, wanted: Wanted, patience: Patience, n_in_a_row: int) -> list[Entry]:
    with _connected(location, patience) as (ftp, path):
        if not path.endswith("/"):
            size_bytes = _size(ftp, path)
            if size_bytes is not None:
                return [Entry("", size_bytes, _modified(ftp, path))]
        root = path.rstrip("/") + "/"
        try:
            found = _walk(ftp, location.url, root, wanted, patience)
            return sorted(_with_facts(ftp, root, found, n_in_a_row), key=lambda entry: entry.path)
        except ftplib.error_perm:
            alone = None if path.endswith("/") else _in_its_folder(ftp, path, patience)
            if alone is None:
                raise
            return [alone]


def _in_its_folder(ftp: "_FTP", path: str, patience: Patience) -> Entry | None:
    """A single file, by a server that knows no SIZE; None where its folder has none of that name."""
    folder, _, wanted = path.rpartition("/")
    for name, facts in _listed(ftp, f"{folder}/", patience):
        if name == wanted and facts["type"] == "file":
            (found,) = _with_facts(ftp, f"{folder}/", [(name, facts)], 1)
            return replace(found, path="")
    return None


class _FTP(ftplib.FTP):
    """A session each of whose replies ends in time, not only each of their reads."""

    def __init__(self, patience: Patience) -> None:
        super().__init__(timeout=patience.wait_s(patience.connect_s))
        self._patience = patience
        self._data: socket.socket | None = None
        self._is_sending = False

    @property
    def is_idle(self) -> bool:
        """Whether it is open, and nothing is to come on it."""
        return self.sock is not None and not self._is_sending

    def wait_for(self, patience: Patience) -> None:
        """Let replies take as long as this allows."""
        self._patience = patience
        self.timeout = patience.wait_s(patience.read_s)
        if self.sock is not None:
            self.sock.settimeout(self.timeout)

    def goes_on(self, patience: Patience) -> bool:
        """Whether a session that was kept is still one; else it is closed."""
        self.wait_for(patience)
        try:
            self.voidcmd("TYPE I")
        except WHATEVER:
            self.close()
            return False
        return True

    def voidresp(self) -> str:
        """The reply behind a transfer, or to a command."""
        reply = super().voidresp()
        self._is_sending = False
        return reply

    def getresp(self) -> str:
        """The next reply."""
        with in_time(self._patience.wait_s(self._patience.read_s), self.end):
            return super().getresp()

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        """Remember the connection of a listing or a file."""
        self._is_sending = True
        self._data, size_bytes = super().ntransfercmd(cmd, rest)
        return self._data, size_bytes

    def replies(self, commands: Sequence[str], n_in_a_row: int) -> list[str | None]:
        """What a server says to each of some commands, so many of which are sent together; None where it refuses.

        Raises
        ------
        ftplib.Error, EOFError, OSError
            Whatever else it says: then nobody knows which reply is whose.
        """
        if any("\r" in command or "\n" in command for command in commands):
            raise ValueError(f"a name without a line's end expected, found one in {commands}")
        if self.sock is None:
            raise EOFError
        found: list[str | None] = []
        for number in range(len(commands)):
            if number % n_in_a_row == 0:
                row = commands[number : number + n_in_a_row]
                self.sock.sendall("".join(f"{command}\r\n" for command in row).encode(self.encoding))
            try:
                code, _, rest = self.getresp().partition(" ")
            except ftplib.error_perm:
                found.append(None)
                continue
            if code != "213":
                raise ftplib.error_reply(code)
            found.append(rest.strip())
        return found

    def end(self) -> None:
        """End the session under whoever waits for it."""
        for connection in (self.sock, self._data):
            with suppress(OSError):
                if connection is not None:
                    connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def _connected(location: Location, patience: Patience) -> Iterator[tuple[_FTP, str]]:
    """Give a session and the decoded path; what ftplib raises becomes one of our errors."""
    parts = urlsplit(location.url)
    kept, key = others_kept(), (get_ident(), f"ftp:{parts.netloc}")
    ftp = kept.pop(key, None) if kept is not None else None
    if not isinstance(ftp, _FTP) or not ftp.goes_on(patience):
        ftp = _FTP(patience)
    with ExitStack() as ending:
        ending.callback(ftp.close)
        with _named_errors(location.url):
            if ftp.sock is None:
                ftp.connect(parts.hostname or "", parts.port or ftplib.FTP_PORT)
                ftp.login()
                ftp.voidcmd("TYPE I")
                ftp.wait_for(patience)
            yield ftp, unquote(parts.path)
        if ftp.is_idle and kept is not None:
            kept[key] = ftp
            ending.pop_all()
            return
        with suppress(*WHATEVER):  # a politeness: what was asked for has arrived
            if ftp.sock is not None:
                ftp.quit()


@contextmanager
def _named_errors(url: str) -> Iterator[None]:
    try:
        yield
    except ftplib.error_perm as error:
        raise SourceMissingError(f"{url}: FTP {error}; not there or not public; {ELSEWHERE}") from error
    except UnicodeDecodeError as error:
        found = bytes(error.object)[max(error.start - 40, 0) : error.end + 40]
        raise SourceError(f"{url}: FTP says {found!r}, which is not in UTF-8; ask for it over HTTPS") from error
    except NO_ANSWER as error:
        raise SourceUnreachableError(f"{url}: no answer, {LATER} ({error or 'the connection was closed'})") from error


def _walk(ftp: _FTP, url: str, root: str, wanted: Wanted, patience: Patience) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the wanted files below a folder, in no order: path, and what their listing says."""
    pending, n_folders = [""], 0
    while pending:
        folder, n_folders = pending.pop(), n_folders + 1
        if n_folders > MOST_FOLDERS:
            raise SourceError(f"{url}: more than {MOST_FOLDERS:,} folders; narrow `include`")
        for name, facts in _listed(ftp, root + folder, patience):
            path = folder + name
            if facts.get("type") == "dir":
                if wanted.may_hold(path):
                    refuse_circle(url, path)
                    pending.append(f"{path}/")
            elif path in wanted:
                yield path, facts


def _with_facts(ftp: _FTP, root: str, found: Iterable[tuple[str, dict[str, str]]], n_in_a_row: int) -> Iterator[Entry]:
    """Yield the entries of files; for sizes and times that no listing says the server is asked, some at once."""
    pending = iter(found)
    while row := list(islice(pending, IN_A_ROW)):
        asked = [
            (path, name, command)
            for path, facts in row
            for name, command in (("size", "SIZE"), ("modify", "MDTM"))
            if not facts.get(name)
        ]
        replies = ftp.replies([f"{command} {root}{path}" for path, _, command in asked], n_in_a_row)
        said = {(path, name): reply for (path, name, _), reply in zip(asked, replies, strict=True)}
        for path, facts in row:
            size = facts.get("size") or said.get((path, "size")) or facts.get("listed")
            when = facts.get("modify") or said.get((path, "modify"))
            yield Entry(path, int(size) if size else None, _stamp(when) if when else ())


def _listed(ftp: _FTP, folder: str, patience: Patience) -> list[tuple[str, dict[str, str]]]:
    """Names in a folder and what is said of them: files and folders.

    A link to a file is one. A link to a folder is none: it may lead in a circle.
    """
    try:
        with in_time(patience.listing_s, ftp.end):
            listed = _listed_by_facts(ftp, folder)
    except ftplib.error_perm as error:
        if not str(error).startswith(("500", "502", "504")):
            raise
        with in_time(patience.listing_s, ftp.end):
            listed = _listed_by_name(ftp, folder)
    return [(name, facts) for name, facts in listed if _is_file_or_folder(ftp, f"{folder.rstrip('/')}/{name}", facts)]


def _is_file_or_folder(ftp: ftplib.FTP, path: str, facts: dict[str, str]) -> bool:
    kind = facts.get("type", "").lower()
    if kind.startswith(LINK) and _size(ftp, path) is not None:
        kind = "file"
        facts.pop("size", None)  # perhaps the link's own
    facts["type"] = kind
    return kind in ("file", "dir")


def _listed_by_facts(ftp: ftplib.FTP, folder: str) -> list[tuple[str, dict[str, str]]]:
    with suppress(ftplib.error_perm):  # who knows no options says all facts
        ftp.sendcmd("OPTS MLST type;size;modify;")
    listed = list(ftp.mlsd(folder.rstrip("/") or "/"))
    ftp.voidcmd("TYPE I")  # it has switched to text, in which many say no SIZE
    return listed


def _listed_by_name(ftp: ftplib.FTP, folder: str) -> list[tuple[str, dict[str, str]]]:
    """Names from LIST; its dates have no common form, so SIZE and MDTM are asked.

    Raises
    ------
    SourceError
        A line that names nobody knows what: the folder would have a file less.
    """
    lines: list[str] = []
    ftp.retrlines(f"LIST {folder}", lines.append)
    ftp.voidcmd("TYPE I")  # retrlines has switched to text
    return read_lines(folder, lines)


def _size(ftp: ftplib.FTP, path: str) -> int | None:
    try:
        return ftp.size(path)
    except ftplib.error_perm:
        return None  # a folder, or nothing at all: listing it tells which


def _modified(ftp: ftplib.FTP, path: str) -> tuple[str, ...]:
    try:
        return _stamp(ftp.voidcmd(f"MDTM {path}")[3:].strip())
    except ftplib.error_perm:
        return ()


def _stamp(value: str) -> tuple[str, ...]:
    """`20240115093000.123` is UTC by RFC 3659."""
    try:
        return (modified(datetime.strptime(value[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)),)
    except ValueError:
        return ()


def _chunks(
    ftp: ftplib.FTP, connection: socket.socket, url: str, left: int | None, patience: Patience
) -> Iterator[bytes]:
    """Yield the bytes; where all that are left have come, it matters no more how the server takes its leave.

    While a large file is sent nothing passes on the control connection, and a router may have dropped it by then.
    """
    received = 0
    try:
        while chunk := connection.recv(BLOCK_BYTES):
            received += len(chunk)
            yield chunk
            connection.settimeout(patience.wait_s(patience.read_s))
        ftp.voidresp()
    except BROKEN_OFF as error:
        if received != left:
            raise SourceUnreachableError(f"{url}: broke off ({error or 'the connection was closed'})") from error
        ftp.close()


def _rechecked(ftp: ftplib.FTP, path: str, location: Location, patience: Patience) -> tuple[str, ...]:
    if ftp.sock is not None:
        return _modified(ftp, path)
    with _connected(location, patience) as (anew, _):
        return _modified(anew, path)
