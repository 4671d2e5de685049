"""Volumes that never change: generations, and the numbered commits that make one of them the volume.

::

    <volume>/
        5f0c…/                 a generation: the OME-Zarr group, whole since it has this name
        generations/            there before the folder, all of it
            5f0c….json          what its writer found, and the digests of the next two
            5f0c….ledger.parquet       every file of the generation: size and digest
            5f0c….block_index.parquet  every chunk of the finest level: its statistics
        commits/000001.json    create-only; readers take the highest number
        latest -> 5f0c…        for people and viewers
        .staging-…             somebody is writing, or died doing so

A generation is named after its inputs, settings and the writer's format, so the same call finds its work done. A
writer that dies, at any point, leaves the last commit what it was. The digest of the ledger is in the commit, and the
digest of every file in the ledger: one small file proves every byte (`validation`).

In a bucket it is the same but for the two names that need a disk, `.staging-…` and `latest`: objects appear whole and
nobody looks for a generation before its commit, so they are put where they stay. What a dead writer left of one is
gone over by the next, or collected (`leftovers`); a name that was collected is not used again (`condemned`).
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from em_assets.errors import NoScratchRoomError, StoreError
from em_assets.model import Frozen
from em_assets.remote.path import RemotePath
from em_assets.volumes import ngff
from em_assets.volumes.cascade import writing_to
from em_assets.volumes.condemned import claimed, content_of, is_condemned, is_named_after, names_in_turn
from em_assets.volumes.folders import Folder, create, file_names, folder_names, put
from em_assets.volumes.ledger import Ledger
from em_assets.volumes.parquet import ParquetBytes
from em_assets.volumes.pyramid import WRITER_FORMAT, VolumeFacts, WrittenVolume
from em_assets.volumes.staging import in_use, publish, replace_link, staging_folder, sweep

if TYPE_CHECKING:
    import pyarrow as pa

COMMITS = "commits"
GENERATIONS = "generations"
LATEST = "latest"


class Generation(VolumeFacts):
    """What one generation is: what was written, from which inputs, and the digests that prove it.

    `n_files` and `size_bytes` are those of the generation's folder, and so of the ledger's rows.
    """

    generation: str
    labels_of: str | None
    inputs: tuple[str, ...]
    n_files: int
    size_bytes: int
    ledger_blake3: str
    block_index_blake3: str


class Commit(Generation):
    """A generation that became the volume, as the `number`th."""

    number: int


Document = TypeVar("Document", bound=Frozen)


@dataclass(frozen=True)
class CommittedVolume:
    """A volume that readers see: its folder, what was committed, and whether this very call committed it."""

    folder: Folder
    commit: Commit
    is_new: bool = False

    @property
    def path(self) -> Folder:
        """The OME-Zarr group."""
        return self.folder / self.commit.generation

    @property
    def ledger_path(self) -> Folder:
        """Parquet file of every file in the group: `key`, `size_bytes`, `blake3`."""
        return _ledger_path(self.folder, self.commit.generation)

    @property
    def block_index_path(self) -> Folder:
        """Parquet file of every chunk of the finest level: its index `z`, `y`, `x` and its statistics."""
        return _block_index_path(self.folder, self.commit.generation)

    def ledger(self) -> Ledger:
        """The files of the group.

        Raises
        ------
        StoreError
            The ledger is not there, or is not the one that was committed.
        """
        return Ledger.read(self.ledger_path, self.commit.ledger_blake3)

    def block_index(self) -> "pa.Table":
        """The statistics of every chunk of the finest level, one row a chunk.

        Raises
        ------
        StoreError
            The index is not there, or is not the one that was committed.
        """
        with ParquetBytes.read(self.block_index_path, self.commit.block_index_blake3).rows() as rows:
            return rows.read()


def generation_name(inputs: Sequence[str], settings: Mapping[str, Any]) -> str:
    """Name of what these inputs, in this order, become under these settings: 16 hexadecimal digits.

    It changes with the writer's format and not with the program's release, so an update that writes the same bytes
    makes nothing anew.
    """
    said = {"inputs": list(inputs), "settings": dict(settings), "writer_format": WRITER_FORMAT}
    text = json.dumps(said, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def commit_volume(
    folder: Folder,
    generation: str,
    write: Callable[[Folder], WrittenVolume],
    *,
    inputs: Sequence[str] = (),
    labels_of: str | None = None,
) -> CommittedVolume:
    """Make `generation` the volume in `folder`, writing it where it is not there yet.

    `write` fills the folder it is given. It is not called where the generation is already committed, or was finished
    by a process that died before its commit. Of several processes at once all return the same commit, one of them as
    its maker. In a bucket the name gets a number where what a dead writer left under it was collected.

    Raises
    ------
    StoreError
        The disk or the bucket refuses. What `write` raises passes through; the last commit stands in every case.
    """
    with writing_to(folder):
        _prepare(folder)
    with nullcontext() if isinstance(folder, RemotePath) else in_use(folder):
        committed = _whole_or_none(folder)
        if committed is None or not is_named_after(committed.commit.generation, generation):
            names = (name for name in names_in_turn(generation) if not is_condemned(_generation_path(folder, name)))
            tried = (_committed_as(folder, name, write, tuple(inputs), labels_of) for name in names)
            committed = next(made for made in tried if made)
        with writing_to(folder):
            _point_latest(folder)
    return committed


def resolve(folder: Folder) -> CommittedVolume | None:
    """The volume that the highest commit names; None where there is no commit.

    Raises
    ------
    StoreError
        The commit cannot be read, or names a group whose metadata or ledger is absent. The chunks are looked at when
        they are read (`reading`), or all of them by `validation`.
    """
    numbers = _commit_numbers(folder)
    if not numbers:
        return None
    path = _commit_path(folder, numbers[-1])
    committed = CommittedVolume(folder, _read_document(path, Commit))
    missing = _missing(folder, committed.path, committed.commit)
    if missing:
        raise StoreError(
            f"{path}: names the volume {committed.path}, which lacks {missing}: it was removed or damaged; "
            "materialize the dataset again (`em-assets fetch`)"
        )
    return committed


def volume_names(folder: Folder) -> list[str]:
    """Names of the volumes in a dataset's folder that have a commit, sorted."""
    return [name for name in folder_names(folder) if COMMITS in folder_names(folder / name)]


def committed_volumes(folder: Folder) -> dict[str, CommittedVolume]:
    """Name → volume for every volume of a dataset's folder that has a commit, in the order of the names.

    Raises
    ------
    StoreError
        As `resolve`.
    """
    found = {name: resolve(folder / name) for name in volume_names(folder)}
    return {name: volume for name, volume in found.items() if volume}


def committed_generations(folder: Folder) -> set[str]:
    """Names of all generations that ever were the volume.

    Raises
    ------
    StoreError
        A commit cannot be read.
    """
    paths = (_commit_path(folder, number) for number in _commit_numbers(folder))
    return {_read_document(path, Commit).generation for path in paths}


def has_commits(folder: Folder) -> bool:
    """Whether a generation ever was the volume."""
    return bool(_commit_numbers(folder))


def repeat_last_commit(folder: Folder, unless: str) -> bool:
    """Commit once more what is the volume, so that the number is taken; False where a generation has a commit.

    False as well where there is nothing to repeat.

    Raises
    ------
    StoreError
        A commit cannot be read.
    """
    while True:
        # Listed before the look: whoever commits after that takes the number, and we look again.
        numbers = _commit_numbers(folder)
        if not numbers or unless in committed_generations(folder):
            return False
        last = _read_document(_commit_path(folder, numbers[-1]), Commit)
        again = last.model_copy(update={"number": last.number + 1})
        if create(_commit_path(folder, again.number), _document(again)):
            return True


def _prepare(folder: Folder) -> None:
    if isinstance(folder, RemotePath):
        return
    for place in (folder, folder / COMMITS, folder / GENERATIONS):
        place.mkdir(parents=True, exist_ok=True)
        sweep(place)


def _whole_or_none(folder: Folder) -> CommittedVolume | None:
    """The committed volume with all its files; None where there is none, or the caller must write it anew."""
    try:
        committed = resolve(folder)
    except StoreError:
        return None
    return committed if committed and _is_whole(folder, committed.path, committed.commit) else None


def _committed_as(
    folder: Folder,
    generation: str,
    write: Callable[[Folder], WrittenVolume],
    inputs: tuple[str, ...],
    labels_of: str | None,
) -> CommittedVolume | None:
    """The volume, of this name; None where the name was condemned before the commit."""
    made = _finished(folder, generation) or _write_generation(folder, generation, write, inputs, labels_of)
    with writing_to(folder):
        return _commit(folder, made) if made else None


def _write_generation(
    folder: Folder,
    generation: str,
    write: Callable[[Folder], WrittenVolume],
    inputs: tuple[str, ...],
    labels_of: str | None,
) -> Generation | None:
    """A generation that is whole and has its document; None where its name is condemned meanwhile, or others' bytes.

    In a bucket two writers write to the same objects. What they make is the same, and so nobody minds who was last;
    where it is not, as by libraries of two releases, the objects may be of both, and nobody commits them as his own.
    """
    document = _generation_path(folder, generation)
    before = content_of(document) if isinstance(document, RemotePath) else None
    with _place_of(folder, generation) as group:
        written = write(group)
        tables = (written.ledger.file, written.block_index.parquet())
        made = Generation(
            **{name: getattr(written, name) for name in VolumeFacts.model_fields},
            generation=generation,
            labels_of=labels_of,
            inputs=inputs,
            n_files=len(written.ledger),
            size_bytes=written.ledger.size_bytes,
            ledger_blake3=tables[0].blake3,
            block_index_blake3=tables[1].blake3,
        )
        problem = written.ledger.first_problem(group)
        if problem and is_condemned(_generation_path(folder, generation)):
            return None  # collected while this writer was stopped
        if problem:
            raise StoreError(f"{problem}: the writer returned and the volume is not whole; nothing was committed")
        # Another writer may have finished it meanwhile, and committed its ledger; in a bucket it wrote these.
        already = _finished(folder, generation) if isinstance(folder, Path) else None
        if isinstance(document, RemotePath) and content_of(document) not in (before, _document(made)):
            return None
        if already is None:
            with writing_to(folder):
                return made if _published(folder, group, made, tables) else None
    return already


def _place_of(folder: Folder, generation: str) -> AbstractContextManager[Folder]:
    """Where a generation is written: on a disk beside, to be renamed; in a bucket where it stays."""
    if isinstance(folder, RemotePath):
        return nullcontext(folder / generation)
    return staging_folder(folder, generation)


def _published(folder: Folder, group: Folder, made: Generation, tables: tuple[ParquetBytes, ParquetBytes]) -> bool:
    """Put a whole generation's documents where readers look, and on a disk then the group itself.

    False where the generation's name is condemned, in a bucket.
    """
    if isinstance(folder, Path):
        _clear_damaged(folder, made)
    put(_ledger_path(folder, made.generation), tables[0].pieces())
    put(_block_index_path(folder, made.generation), tables[1].pieces())
    document = _generation_path(folder, made.generation)
    if isinstance(document, RemotePath):
        return claimed(document, _document(made), lambda: made.generation in committed_generations(folder))
    put(document, [_document(made)])
    if isinstance(folder, Path) and isinstance(group, Path):
        publish(group, folder / made.generation)
    return True


def _clear_damaged(folder: Path, made: Generation) -> None:
    """Move a generation that lost files out of the way; a whole one, which another writer just finished, stays."""
    final = folder / made.generation
    if final.exists() and _finished(folder, made.generation) is None:
        with staging_folder(folder, f"damaged-{made.generation}") as aside:
            final.rename(aside / made.generation)


def _finished(folder: Folder, generation: str) -> Generation | None:
    """A generation that is whole, committed or not; None where it must be written (again)."""
    try:
        made = _read_document(_generation_path(folder, generation), Generation)
    except StoreError:
        return None
    return made if _is_whole(folder, folder / generation, made) else None


def _commit(folder: Folder, made: Generation) -> CommittedVolume | None:
    """Claim the next number for a generation, unless somebody committed the same meanwhile; None if it is condemned."""
    while True:
        # Before the look: who commits after it takes this number, and we look again.
        number = (_commit_numbers(folder) or [0])[-1] + 1
        current = _whole_or_none(folder)
        if current and current.commit.generation == made.generation:
            return current
        if is_condemned(_generation_path(folder, made.generation)):
            return None
        commit = Commit(**dict(made), number=number)
        if create(_commit_path(folder, number), _document(commit)):
            return CommittedVolume(folder, commit, is_new=True)


def _point_latest(folder: Folder) -> None:
    """Let `latest` mean what the highest commit names, which after a race may be another's than the caller's."""
    if isinstance(folder, RemotePath):
        return
    link = folder / LATEST
    while True:
        # Looked at again behind each change: who committed before us may have been slower to point.
        highest = _commit_path(folder, _commit_numbers(folder)[-1])
        generation = _read_document(highest, Commit).generation
        if link.is_symlink() and str(link.readlink()) == generation:
            return
        replace_link(link, generation)


def _missing(folder: Folder, group: Folder, made: Generation) -> str | None:
    """The first of the files that every reader of this volume needs which is not there."""
    names = list(ngff.ROOT_FILES[made.ome_zarr])
    names += [f"{level.path}/{ngff.ARRAY_FILE[made.ome_zarr]}" for level in made.levels]
    needed = [(name, group / name) for name in names]
    ledger = _ledger_path(folder, made.generation)
    needed.append((ledger.name, ledger))
    if isinstance(folder, RemotePath):  # one request each, and a dozen take as long as one
        with ThreadPoolExecutor(len(needed)) as executor:
            found = list(executor.map(lambda named: named[1].is_file(), needed))
    else:
        found = [path.is_file() for _, path in needed]
    return next((name for (name, _), is_there in zip(needed, found, strict=True) if not is_there), None)


def _is_whole(folder: Folder, group: Folder, made: Generation) -> bool:
    """Whether every file of the ledger is there with its size: one look at each, none is read."""
    try:
        ledger = Ledger.read(_ledger_path(folder, made.generation), made.ledger_blake3)
    except NoScratchRoomError:
        raise  # of the ledger that says nothing
    except StoreError:
        return False
    return ledger.first_problem(group) is None


def _commit_numbers(folder: Folder) -> list[int]:
    names = (name.removesuffix(".json") for name in file_names(folder / COMMITS) if name.endswith(".json"))
    return sorted(int(name) for name in names if name.isdigit())


def _commit_path(folder: Folder, number: int) -> Folder:
    return folder / COMMITS / f"{number:06d}.json"


def _generation_path(folder: Folder, generation: str) -> Folder:
    return folder / GENERATIONS / f"{generation}.json"


def _ledger_path(folder: Folder, generation: str) -> Folder:
    return folder / GENERATIONS / f"{generation}.ledger.parquet"


def _block_index_path(folder: Folder, generation: str) -> Folder:
    return folder / GENERATIONS / f"{generation}.block_index.parquet"


def _document(model: Frozen) -> bytes:
    return (json.dumps(model.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _read_document(path: Folder, model: type[Document]) -> Document:
    try:
        return model.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise StoreError(f"{path}: cannot be read as a {model.__name__.lower()}: {error}") from error
