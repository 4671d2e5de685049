"""What archives say of a dataset: its records as fetched → what each says, of the dataset or of one of its volumes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from em_assets.datasets import Dataset
from em_assets.datasets.opening import RawVolume
from em_assets.errors import FormatError
from em_assets.model import RawFile
from em_assets.sources.archives import ARCHIVES, ArchiveWitness, assigned
from em_assets.sources.archives.record import check_size
from em_assets.sources.manifest import FILES


def archive_witnesses(
    dataset: Dataset, raw_dir: Path, files: Sequence[RawFile], volumes: Sequence[RawVolume]
) -> list[tuple[str, list[ArchiveWitness]]]:
    """Address of each record that is held → what it says, its volumes named as the dataset names them.

    Raises
    ------
    FormatError
        A record is not what its archive keeps; the message names the file.
    """
    documents = [
        (file.url, list(ARCHIVES[archive].witnesses(file.path, _document(raw_dir, file))))
        for archive, file in _record_files(dataset, files)
    ]
    urls = {volume.name: _urls(dataset, volume, raw_dir / FILES, files) for volume in volumes}
    return [(url, list(said)) for url, said in assigned(documents, urls)]


def _record_files(dataset: Dataset, files: Sequence[RawFile]) -> Iterator[tuple[str, RawFile]]:
    for file in files:
        archive = dataset.sources[file.source].archive
        if archive is not None:
            yield archive, file


def _document(raw_dir: Path, file: RawFile) -> bytes:
    path = raw_dir / FILES / file.path
    check_size(file.path, file.size_bytes)
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise FormatError(f"{path}: in the manifest and not on the disk; fetch the dataset again") from error


def _urls(dataset: Dataset, volume: RawVolume, root: Path, files: Sequence[RawFile]) -> list[str]:
    """Public addresses of a volume's files; of a folder's files the first one's tells where it lies."""
    data = {file.path: file.url for file in files if dataset.sources[file.source].archive is None}
    found = []
    for own in volume.source.files:
        path = Path(own)
        below = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
        prefix = "" if below == "." else f"{below}/"
        url = data.get(below) or next((url for name, url in data.items() if name.startswith(prefix)), None)
        if url is not None:
            found.append(url)
    return found
