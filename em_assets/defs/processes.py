"""Which process works on a run, as a tag of the run, and whether that process is gone.

A run whose process was killed stays "started" for ever, since nobody is left to say otherwise. The tag names machine,
boot, process namespace, process number and when it began: a number alone proves nothing, since numbers are used again.

Containers do not see each other's processes, but they see each other's locks where they share a disk. So a process that
works on runs holds a lock on a file of its own in the store, `.workers/…`, which ends with it, however it dies; the tag
names the file's inode, so that no copy of a store speaks for it::

    machine boot namespace pid began proof
"""

import fcntl
import os
import socket
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

PROCESS_TAG = "em_assets/process"

_PROC = Path("/proc")
_OF_THE_MACHINE = "pid:[4026531836]"  # PROC_PID_INIT_INO of linux/proc_ns.h: the namespace that is no container's
_ENDED_STATES = ("Z", "X")

FOLDER = ".workers"

NO_PROOF = "-"

OF_ONE_MACHINE = frozenset({"btrfs", "ext2", "ext3", "ext4", "f2fs", "xfs", "zfs"})
"""File systems that one machine has mounted at a time."""

KEPT_S = 2 * 86400.0
"""Files of processes that are gone are kept for as long as any run may seem to live: another home may ask for them."""


class Worker(NamedTuple):
    """A process, wherever it runs; what this system does not tell is empty."""

    machine: str
    boot: str
    namespace: str
    pid: int
    began: str
    proof: str = NO_PROOF

    def __str__(self) -> str:
        return " ".join(map(str, (*self,)))

    @property
    def is_gone(self) -> bool:
        """Whether it surely is no more; False for one that cannot be seen from here: another machine or container."""
        here = this_process()
        if (self.machine, self.namespace) != (here.machine, here.namespace):
            return False
        if self.boot != here.boot:
            # Of a machine itself: restarted. Containers on two machines can agree in all the rest.
            return here.namespace == _OF_THE_MACHINE
        return not _is_running(self.pid, self.began)

    def has_let_go(self, store: Path) -> bool:
        """Whether the lock that it held as long as it lived is free; False where the store cannot tell.

        On this machine the system knows, whatever the container. After a restart all locks of a machine are free, which
        proves something only of a disk that no other machine has: elsewhere locks may not reach from one to another.
        """
        path = store / FOLDER / self.file_name
        try:
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            is_its_own = str(os.fstat(lock).st_ino) == self.proof
            is_of_this_boot = self.boot == this_process().boot != "-"
            return is_its_own and _is_free(lock) and (is_of_this_boot or _is_of_one_machine(path))
        finally:
            os.close(lock)

    @property
    def file_name(self) -> str:
        """Of the file in the store that it holds."""
        digits = "".join(filter(str.isdigit, self.namespace))
        return f"{self.boot[:8]}-{digits}-{self.pid}-{self.began}"


def this_process() -> Worker:
    """The process that asks."""
    pid = os.getpid()
    return Worker(*_place(), pid, _began(pid) or "-")


def holding(store: Path) -> Worker:
    """The process that asks, from now on with a lock in the store that ends when it does, or without one."""
    worker = this_process()
    try:
        return worker._replace(proof=_held(store, worker))
    except OSError:  # a store that cannot be written to is named by who has something to write
        return worker


@cache
def _held(store: Path, worker: Worker) -> str:
    """Inode of the file that is locked; asked again by a child of this process, which is another worker."""
    path = store / FOLDER / worker.file_name
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)  # stays open as long as the process lives
        fcntl.flock(lock, fcntl.LOCK_EX)
        inode = os.fstat(lock).st_ino
        if path.exists() and path.stat().st_ino == inode:
            return str(inode)
        os.close(lock)  # it was swept between the two: nobody held it yet


def sweep_locks(store: Path) -> None:
    """Remove the files of processes that are gone, after two days."""
    for path in (store / FOLDER).glob("*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime < KEPT_S:
                continue
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                if _is_free(lock):
                    path.unlink()
            finally:
                os.close(lock)


def _is_free(lock: int) -> bool:
    """Whether nobody holds the file's lock; who asks holds it then, until it closes the file."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_of_one_machine(path: Path) -> bool:
    """Whether the file is on a disk that no other machine has mounted."""
    # proc(5): fifth field the place, the type behind " - "; the innermost place that holds the file counts.
    lines = [line.partition(" - ") for line in _text(_PROC / "self/mountinfo").splitlines()]
    kinds = {Path(fields.split()[4]): kind.split()[0] for fields, _, kind in lines}
    return next((kinds[place] in OF_ONE_MACHINE for place in path.resolve().parents if place in kinds), False)


def worker_of(tag: str) -> Worker | None:
    """The process that a tag names; None where it was written by no release that is known here."""
    parts = tag.split(" ")
    if len(parts) not in (len(Worker._fields) - 1, len(Worker._fields)) or not parts[3].isdecimal():
        return None
    machine, boot, namespace, pid, *rest = parts
    return Worker(machine, boot, namespace, int(pid), *rest)


@cache
def _place() -> tuple[str, str, str]:
    """Machine, boot and process namespace: two containers on one machine have the same process numbers."""
    host = f"{socket.gethostname()}:{_text(Path('/etc/machine-id'))[:8]}"
    namespace = _PROC / "self/ns/pid"
    return (
        host.replace(" ", "_"),
        _text(_PROC / "sys/kernel/random/boot_id") or "-",
        str(namespace.readlink()) if namespace.is_symlink() else "-",
    )


def _is_running(pid: int, began: str) -> bool:
    if _PROC.joinpath("self/stat").exists():
        return _began(pid) == began
    try:
        os.kill(pid, 0)  # asks only; systems without /proc tell no more
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _began(pid: int) -> str | None:
    """When a process began, in ticks since the boot; None for one that is over, also where its parent did not ask."""
    # proc(5): the name stands in brackets and may hold anything; state is the first field behind it, start the 20th.
    fields = _text(_PROC / str(pid) / "stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in _ENDED_STATES else None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
