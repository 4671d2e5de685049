"""Files and folders damaged in one place each, as a function of a seed: what disks, networks and ill will do."""

import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

NUMBERS = [0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
NUMBERS += [2**40, 2**62, 2**63, 2**64 - 1]
VALUES: list[Any] = [
    *(None, True, -1, 0, 1, 7, 2**31, 2**40, 2**63, 2**80, 1e300, 0.5, "", "x", [], {}, [0], [1, 1, 1], [0, 0, 0]),
    *([-1, -1, -1], [2**20] * 3, [2**40] * 3, [1, 2], "uint64", "float32", "<f8", "|O", ">i2", "jpeg", "raw", "gzip"),
    *("bytes", "zstd", "crc32c", "default", "v2", "C", "F"),
    *("../../../etc/passwd", "/etc/passwd", "file:///etc/passwd", {"id": "pickle"}, {"id": "zlib"}, {"name": "zstd"}),
]


class Mutant(NamedTuple):
    """What was done, where, and the files that it gives; None for one that is gone."""

    kind: str
    what: str
    files: dict[str, bytes | None]


def file_mutants(name: str, data: bytes, payload: list[range], n: int, seed: int) -> Iterator[Mutant]:
    """A quarter cut, a tenth with holes, the rest flipped or overwritten; mostly outside of the payload."""
    rng = random.Random(f"{name} {seed}")
    structure = [place for place in range(len(data)) if not any(place in part for part in payload)]
    edges = sorted({0, 1, 3, 4, 8, 12, len(data) - 1, len(data) - 2, len(data) - 4, len(data) - 9})
    edges += sorted({place for part in payload for place in (part.start, part.stop - 1, part.start + len(part) // 2)})
    for number in range(n):
        place = rng.choice(structure) if rng.random() < 0.75 else rng.randrange(len(data))
        match number % 20:
            case 0 | 1 | 2 | 3 | 4:
                at = edges[number // 4] if number // 4 < len(edges) else rng.randrange(len(data))
                yield Mutant("cut", f"at {at} of {len(data)}", {name: data[:at]})
            case 5 | 6:
                size = rng.choice([16, 512, 4096, len(data) // 10, len(data) // 3])
                hole = bytes(min(size, len(data) - place))
                yield Mutant("hole", f"{len(hole)} at {place}", {name: _put(data, place, hole)})
            case 7 | 8 | 9 | 10:
                bit = 1 << rng.randrange(8)
                yield Mutant("flip", f"{bit} at {place}", {name: _put(data, place, bytes([data[place] ^ bit]))})
            case _:
                width, order = rng.choice([1, 2, 4, 8]), rng.choice(["little", "big"])
                value = rng.choice(NUMBERS) % 2 ** (8 * width)
                new = value.to_bytes(width, "little" if order == "little" else "big")
                yield Mutant("number", f"{value} at {place} ({width}, {order})", {name: _put(data, place, new)})


def tree_mutants(files: dict[str, bytes], documents: list[str], n: int, seed: int) -> Iterator[Mutant]:
    """Half of them hostile metadata, half damaged chunks; `documents` are the files that hold metadata."""
    rng = random.Random(f"{sorted(files)} {seed}")
    chunks = sorted(set(files) - set(documents))
    while n > 0:
        mutant = _document(rng, files, rng.choice(documents)) if rng.random() < 0.5 else _chunk(rng, files, chunks)
        if any(files[name] != data for name, data in mutant.files.items()):
            n -= 1
            yield mutant


def _document(rng: random.Random, files: dict[str, bytes], name: str) -> Mutant:
    data = files[name]
    match rng.randrange(20):
        case 0:
            return Mutant("metadata missing", name, {name: None})
        case 1 | 2:
            at = rng.randrange(len(data))
            return Mutant("metadata cut", f"{name} at {at}", {name: data[:at]})
        case 3 | 4:
            at = rng.randrange(len(data))
            return Mutant("metadata flip", f"{name} at {at}", {name: _put(data, at, bytes([data[at] ^ 2]))})
    document = json.loads(data)
    places = list(_places(document))
    parents, key, old = rng.choice(places)
    node = document
    for parent in parents:
        node = node[parent]
    if rng.random() < 0.1:
        del node[key]
        what = "removed"
    else:
        is_number = isinstance(old, (int, float)) and not isinstance(old, bool) and rng.random() < 0.4
        near = [old + 1, old - 1, old * 2, old // 2, -old, old * 1000] if is_number else VALUES
        node[key] = rng.choice(near)
        what = json.dumps(node[key])[:60]
    return Mutant("metadata", f"{name} {[*parents, key]} = {what}", {name: json.dumps(document).encode()})


def _chunk(rng: random.Random, files: dict[str, bytes], chunks: list[str]) -> Mutant:
    name = rng.choice(chunks)
    data = files[name]
    at = rng.randrange(len(data)) if data else 0
    match rng.randrange(9):
        case 0 | 1:
            return Mutant("chunk cut", f"{name} at {at} of {len(data)}", {name: data[:at]})
        case 2 | 3:  # to nothing, to almost nothing, and by a little: an end marker, a checksum
            at = rng.choice([0, 1, 2, 4, 8, len(data) - 1, len(data) - 2, len(data) - 4, len(data) - 8])
            return Mutant("chunk cut", f"{name} at {at} of {len(data)}", {name: data[:at]})
        case 4 | 5:
            return Mutant("chunk flip", f"{name} at {at}", {name: _put(data, at, bytes([data[at] ^ 1 << at % 8]))})
        case 6:
            return Mutant("chunk hole", f"{name} at {at}", {name: _put(data, at, bytes(min(512, len(data) - at)))})
        case 7:
            return Mutant("chunk missing", name, {name: None})
    return Mutant("chunk swapped", name, {name: files[rng.choice(chunks)]})


def _places(node: Any, parents: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any, Any]]:
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield parents, key, value
        yield from _places(value, (*parents, key))


def _put(data: bytes, at: int, new: bytes) -> bytes:
    return (data[:at] + new + data[at + len(new) :])[: len(data)]
