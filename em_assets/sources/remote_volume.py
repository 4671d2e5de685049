"""A remote volume that boxes are cut from, opened by what it says of itself; and what to do where it has no chunk."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from em_assets.errors import FormatError, SourceMissingError, VolumeChoiceError
from em_assets.formats.volume import SourceVolume
from em_assets.model import Source
from em_assets.sources.boxes import says_absent
from em_assets.sources.origins import Origin, locate
from em_assets.sources.remote_metadata import readable, scale_key
from em_assets.sources.shards import shards_of

ABSENT_WAY_ON = (
    ". Ask the archive for it, or move the box; if the publisher of a zarr or N5 volume writes no empty chunks, say "
    "`absent_is_fill = true`"
)


def open_remote(source: Source, origin: Origin, documents: Mapping[str, bytes]) -> SourceVolume:
    """The remote volume that a box is cut from, opened lazily; `documents` is what it says of itself.

    Its levels begin with the one that is asked for, and coarser ones follow.

    Raises
    ------
    VolumeChoiceError
        There are several, and `volume` names none of them; or it has no such level.
    """
    volume = _whole_remote(source, origin, documents)
    if source.level >= len(volume.levels):
        raise VolumeChoiceError(f"{source.url}: level = {source.level}, and there are {len(volume.levels)} from 0 on")
    return replace(volume, levels=volume.levels[source.level :])


@contextmanager
def absence_in_words(source: Source) -> Iterator[None]:
    """Say what to do about a chunk that is not there.

    Raises
    ------
    SourceMissingError
        In the place of the format's own error.
    """
    try:
        yield
    except FormatError as error:
        if not says_absent(error):
            raise
        way_on = "" if source.absent_is_fill else ABSENT_WAY_ON
        raise SourceMissingError(f"{source.url}: a chunk of the box is not there: {error}{way_on}") from error


def _whole_remote(source: Source, origin: Origin, documents: Mapping[str, bytes]) -> SourceVolume:
    from em_assets.formats import detect, n5, ome_zarr

    url = readable(locate(source.url, origin)).url
    format = detect(url)
    if format is ome_zarr:
        is_declared = shards_of(documents, scale_key(source.url, documents, source.level)) is not None
        volumes = ome_zarr.open_volumes([url], is_fill_allowed=source.absent_is_fill or is_declared)
    elif format is n5:
        volumes = n5.open_volumes([url], is_fill_allowed=source.absent_is_fill)
    else:
        volumes = format.open_volumes([url])
    if len(volumes) == 1:
        return volumes[0]
    named = [volume for volume in volumes if volume.name == source.volume]
    if not named:
        names = ", ".join(volume.name for volume in volumes)
        raise VolumeChoiceError(f"{source.url}: holds several volumes, and `volume` names none of them: {names}")
    return named[0]
