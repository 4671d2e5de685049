"""The TOML file of a dataset that was looked at: what was found, who says what, and a line for what nobody says."""

import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from em_assets.adding.accessions import Place
from em_assets.adding.looking import Found, Remote
from em_assets.adding.saying import Heard
from em_assets.model import DEFAULT_MAX_BYTES, Statement
from em_assets.terminal import cell, size, voxel_size

MOST_SHOWN = 8
LINE = 118

_EXAMPLES = {
    "technique": '"FIB-SEM"',
    "organism": '"Mus musculus"',
    "sample": '"hippocampus"',
    "voxel_size_zyx_nm": "[50, 8, 8]",
    "licence": '"CC BY 4.0"',
    "doi": '"10.…"',
}


def toml_of(
    asked_for: str,
    place: Place,
    found: Found,
    heard: Heard,
    *,
    title: str,
    max_bytes: int,
    is_everywhere: bool,
) -> str:
    """The file's text.

    Parameters
    ----------
    asked_for
        What was typed, for the first line.
    max_bytes
        As asked for; the default is not written down.
    is_everywhere
        Whether the sample origin serves it, too.
    """
    lines = [
        *_comment(f"Written by `em-assets add {asked_for}`: what was found, and what somebody says, with the place."),
        f"title = {_quoted(title)}",
    ]
    is_volume = found.volume is not None
    lines += [] if is_volume and _is_box(found, max_bytes) else [f"format = {_quoted(found.format)}"]
    lines += [f"citation = {_quoted(heard.citation)}"] if heard.citation else []
    lines += [] if is_everywhere else ['origins = ["public"]']
    lines += [f"unconfirmed = {_quoted('Looked at by em-assets add; nobody has confirmed it yet.')}", ""]
    lines += _source(place, found, max_bytes)
    lines += ["", "# What the archive says itself: fetched and compared each time."] if heard.record_urls else []
    for number, url in enumerate(heard.record_urls):
        lines += [*([""] if number else []), "[[source]]"]
        lines += [f"archive = {_quoted(str(place.archive))}", f"url = {_quoted(url)}"]
    for statement in heard.statements:
        lines += ["", *_said(statement)]
    lines += _left_out(heard) + _unknown(heard, found)
    return "\n".join(lines) + "\n"


def _source(place: Place, found: Found, max_bytes: int) -> list[str]:
    lines = ["[[source]]"]
    limit = [] if max_bytes == DEFAULT_MAX_BYTES else [f"max_bytes = {max_bytes}"]
    if found.volume is not None:
        lines = [*_comment(_volume_in_words(found.volume)), *lines]
        if _is_box(found, max_bytes):
            return [*lines, *_box(found, found.volume, max_bytes), *limit]
    lines += ['kind = "files"', f"url = {_quoted(found.url)}"]
    if place.fallback_urls and found.url == place.url:
        lines.append(f"fallback_urls = [{', '.join(map(_quoted, place.fallback_urls))}]")
    if found.include != ("**",):
        lines.append(f"include = [{', '.join(map(_quoted, found.include))}]")
    return [*lines, *limit, *_files_in_words(found, max_bytes)]


def _is_box(found: Found, max_bytes: int) -> bool:
    """Whether only a box can be taken: the volume is too large, or its chunks cannot be listed."""
    return found.volume is not None and (found.volume.size_bytes > max_bytes or not found.is_listable)


def _box(found: Found, volume: Remote, max_bytes: int) -> list[str]:
    is_large = volume.size_bytes > max_bytes
    shape = volume.box_zyx(max_bytes) if is_large else volume.shape_zyx
    why = (
        f"All of it is more than max_bytes = {max_bytes:_}: a box, its start drawn by the seed (or given: start_zyx)."
        if is_large
        else "Its chunks cannot be listed here, so all of it is taken as one box."
    )
    start = [] if is_large else ["start_zyx = [0, 0, 0]"]
    return ['kind = "cutout"', f"url = {_quoted(found.url)}", *_comment(why), f"shape_zyx = {list(shape)}", *start]


def _volume_in_words(volume: Remote) -> str:
    content, voxel = f", {volume.content}" if volume.content else "", voxel_size(volume.voxel_size_zyx_nm)
    return (
        f"By its own metadata: {cell(list(volume.shape_zyx))} voxels (z × y × x), {voxel}, "
        f"{volume.dtype}{content}; {size(volume.size_bytes)} uncompressed, all levels."
    )


def _files_in_words(found: Found, max_bytes: int) -> list[str]:
    lines: list[str] = []
    if found.paths:
        more = "" if found.is_all else ", as far as they were listed"
        lines += _comment(f"{len(found.paths)} files of format {found.format}{more}, the first one {found.paths[0]}")
    if found.others:
        others = sorted(found.others.items(), key=lambda other: (-other[1], other[0]))
        names = ", ".join(
            f"{count} {f'*{ending}' if ending else 'without an ending'}" for ending, count in others[:MOST_SHOWN]
        )
        ending = PurePosixPath(found.paths[0]).suffix
        lines += _comment(f"Kept beside: {names}. To leave them out: include = [{_quoted(f'**/*{ending}')}]")
    if found.size_bytes is not None and found.size_bytes > max_bytes:
        lines += _comment(f"{size(found.size_bytes)}, more than max_bytes = {max_bytes:_}: say so here to fetch it")
    return lines


def _said(statement: Statement) -> Iterator[str]:
    yield "[[says]]"
    yield f"field = {_quoted(statement.field)}"
    yield f"value = {_value(statement.value)}"
    if statement.unit is not None:
        yield f"unit = {_quoted(statement.unit)}"
    yield f"at = {_quoted(statement.at)}"


def _left_out(heard: Heard) -> list[str]:
    if not heard.doubtful:
        return []
    lines = ["", "# Said, and not taken over; it is compared with the files all the same:"]
    return lines + [line for text in heard.doubtful for line in _comment(text)]


def _unknown(heard: Heard, found: Found) -> list[str]:
    unknown = heard.unknown(is_voxel_size_known=found.is_voxel_size_known)
    if not unknown:
        return []
    lines = [
        "",
        "# Nobody was found to say these; the files are asked once they are held. Fill in what you know, and where.",
    ]
    for field in unknown:
        lines += [
            "#",
            "# [[says]]",
            f"# field = {_quoted(field)}  # nobody says it",
            f"# value =  # such as {_EXAMPLES[field]}",
            '# at = ""  # the page that says it',
        ]
    return lines


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return _quoted(str(value))


def _quoted(text: str) -> str:
    """A TOML string: JSON's, but that a lone surrogate and DEL cannot stand in it."""
    clean = text.encode("utf-8", errors="replace").decode("utf-8")
    return json.dumps(clean, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> Iterator[str]:
    """Lines of a comment: no control character ends one, or stands in it."""
    clean = re.sub(r"[\x00-\x1f\x7f\u0085\u2028\u2029]+", " ", text).encode("utf-8", errors="replace").decode("utf-8")
    words, line = clean.split(" "), "#"
    for word in words:
        if len(line) + len(word) > LINE and line != "#":
            yield line
            line = "#"
        line += f" {word}"
    yield line
