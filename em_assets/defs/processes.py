"""Which process works on a run, as a tag of the run, and whether that process is gone.

A run whose process was killed stays "started" for ever, since nobody is left to say otherwise. The tag names machine,
boot, process namespace, process number and when it began: a number alone proves nothing, since numbers are used again.
"""

import os
import socket
from functools import cache
from pathlib import Path
from typing import NamedTuple

PROCESS_TAG = "em_assets/process"

_PROC = Path("/proc")
_OF_THE_MACHINE = "pid:[4026531836]"  # PROC_PID_INIT_INO of linux/proc_ns.h: the namespace that is no container's
_ENDED_STATES = ("Z", "X")


class Worker(NamedTuple):
    """A process, wherever it runs; what this system does not tell is empty."""

    machine: str
    boot: str
    namespace: str
    pid: int
    began: str

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


def this_process() -> Worker:
    """The process that asks."""
    pid = os.getpid()
    return Worker(*_place(), pid, _began(pid) or "-")


def worker_of(tag: str) -> Worker | None:
    """The process that a tag names; None where it was written by no release that is known here."""
    parts = tag.split(" ")
    if len(parts) != len(Worker._fields) or not parts[3].isdecimal():
        return None
    machine, boot, namespace, pid, began = parts
    return Worker(machine, boot, namespace, int(pid), began)


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
