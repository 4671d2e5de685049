"""Choosing one of several volumes, or asking which."""

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

from em_assets.errors import VolumeChoiceError


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str:
        """What it is called."""


T = TypeVar("T")
NamedT = TypeVar("NamedT", bound=Named)


def by_name(volumes: Iterable[NamedT]) -> dict[str, NamedT]:
    """Name → volume, in the order given.

    Raises
    ------
    VolumeChoiceError
        Two have one name, so that neither could be asked for.
    """
    named: dict[str, NamedT] = {}
    for volume in volumes:
        if volume.name in named:
            raise VolumeChoiceError(f"two volumes are named {volume.name!r}: open their files one by one")
        named[volume.name] = volume
    return named


def choose(named: Mapping[str, T], wanted: str | None, where: str) -> T:
    """The volume called `wanted`, or the only one there is.

    Raises
    ------
    VolumeChoiceError
        None is chosen and there are several, or none has that name; the message lists them.
    """
    names = ", ".join(named)
    if wanted is not None:
        if wanted not in named:
            raise VolumeChoiceError(f"{where}: no volume {wanted!r}; there are: {names}")
        return named[wanted]
    if len(named) != 1:
        raise VolumeChoiceError(f"{where}: {len(named)} volumes, choose one with `volume`: {names}")
    return next(iter(named.values()))
