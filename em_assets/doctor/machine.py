"""Cores, memory, Python and packages: what the platform runs on."""

import os
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from em_assets.doctor.findings import Finding, mend, ok
from em_assets.settings import MEMORY_BUDGET_BYTES, Settings
from em_assets.terminal import size

if TYPE_CHECKING:
    from packaging.requirements import Requirement

PACKAGE = "em-assets"
FAMILY = "dagster"
"""Packages of this name and its kin are released together, and each works with those of its own release alone."""

_CGROUP_MEMORY = Path("/sys/fs/cgroup/memory.max")


def findings(known: Settings | None) -> Iterator[Finding]:
    """Cores, memory, Python and packages; without settings, by their defaults."""
    yield ok("machine", "cores", str(n_cores()))
    yield _memory(known.memory_budget_bytes if known else MEMORY_BUDGET_BYTES)
    yield _python()
    yield from _packages()


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> int:
    """Memory of this machine, or of the container that this is, where that has less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = _CGROUP_MEMORY.read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdecimal() else total


def _memory(budget_bytes: int) -> Finding:
    total = memory_bytes()
    found = f"{size(total)}, of which writing a volume takes {size(budget_bytes)}"
    if budget_bytes * 2 > total:
        less = total / 2 / (1 << 30)
        return mend("machine", "memory", f"{found}: more than half", f"EM_ASSETS_MEMORY_GIB={max(less, 0.5):.1f}")
    return ok("machine", "memory", found)


def _python() -> Finding:
    from packaging.specifiers import SpecifierSet

    found = f"{sys.version.split()[0]} at {sys.executable}"
    expected = metadata.metadata(PACKAGE)["Requires-Python"] or ""
    if SpecifierSet(expected).contains(sys.version.split()[0], prereleases=True):
        return ok("machine", "Python", found)
    return mend("machine", "Python", f"{found}; {expected} expected", "make the environment anew with such a Python")


def _packages() -> Iterator[Finding]:
    """What is missing or of a version that does not fit; one line where all is well, and one for the extras."""
    wrong = list(_not_fitting(PACKAGE, _requirements(PACKAGE)))
    for package in _family():
        wrong += _not_fitting(package, [each for each in _requirements(package) if _is_family(each.name)])
    for problem, mends_it in dict.fromkeys(wrong):
        yield mend("machine", "packages", problem, mends_it)
    if not wrong:
        version = metadata.version(FAMILY)
        yield ok("machine", "packages", f"em-assets {metadata.version(PACKAGE)}, dagster {version}: all fit together")
    there, missing = _extras()
    to_do = f"pip install 'em-assets[{','.join(missing)}]' where you need them" if missing else None
    yield ok("machine", "extras", f"{', '.join(there) or 'none'} installed", to_do)


def _family() -> list[str]:
    """Every package of the family that is installed and that one of them, or this one, names."""
    found: list[str] = []
    named = [each.name for each in _requirements(PACKAGE) if _is_family(each.name)]
    for name in named:
        if name not in found and _version(name):
            found.append(name)
            named += [each.name for each in _requirements(name) if _is_family(each.name)]
    return found


def _is_family(name: str) -> bool:
    return name == FAMILY or name.startswith(f"{FAMILY}-")


def _not_fitting(package: str, requirements: "Iterable[Requirement]") -> Iterator[tuple[str, str]]:
    """What a package needs and does not have, in words, with what mends it; of extras what is installed."""
    for each in requirements:
        is_optional = each.marker is not None and not each.marker.evaluate({"extra": ""})
        found, install = _version(each.name), f"pip install '{each.name}{each.specifier}'"
        if found is None and not is_optional:
            yield f"{each.name} is missing", install
        elif found is not None and not each.specifier.contains(found, prereleases=True):
            yield f"{each.name} {found}; {package} needs {each.specifier}", install


def _extras() -> tuple[list[str], list[str]]:
    """Names of the extras of which all is installed, and of the others; not those for developers."""
    there: list[str] = []
    missing: list[str] = []
    for extra in sorted(metadata.metadata(PACKAGE).get_all("Provides-Extra") or ()):
        of_extra = [
            each.name
            for each in _requirements(PACKAGE)
            if each.marker and each.marker.evaluate({"extra": extra}) and not each.marker.evaluate({"extra": ""})
        ]
        if PACKAGE not in of_extra:
            (there if all(map(_version, of_extra)) else missing).append(extra)
    return there, missing


@cache
def _requirements(package: str) -> "tuple[Requirement, ...]":
    from packaging.requirements import Requirement

    return tuple(map(Requirement, metadata.requires(package) or ()))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
