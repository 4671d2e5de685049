"""IDR's tables: an experiment's annotation (one row an image), its list of files, and the settings of its import."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from em_assets.errors import FormatError
from em_assets.sources.archives.record import ArchiveWitness, load_text, shortened

MOST_YAML_BYTES = 64 << 10
"""Settings of an import are a dozen lines."""

_STUDY_FOLDER = re.compile(r"idr\d{4}-[\w.-]+")
_TAXON = re.compile(r"(?:NCBITaxon[_:]?)?(\d{1,9})", re.IGNORECASE)
_NUMBER = r"(\d{1,6}(?:\.\d{1,6})?)"
_VOXEL = re.compile(rf"(?<![\dx.]){_NUMBER}x{_NUMBER}x{_NUMBER}(nm|um|µm)(?![a-z])", re.IGNORECASE)
_SAMPLE_COLUMNS = ("Characteristics [Cell Line]", "Characteristics [Organism Part]", "Characteristics [Strain]")


class Cell(NamedTuple):
    """A cell of a table; rows and columns count from 1, the heading is row 1."""

    text: str
    row: int
    column: int
    heading: str

    @property
    def locator(self) -> str:
        """`row 5, column 3 (Characteristics [Organism])`."""
        return f"row {self.row}, column {self.column}" + (f" ({self.heading})" if self.heading else "")

    def says(
        self, field: str, value: Any, unit: str | None = None, volume: str | None = None, is_unconfirmed: bool = False
    ) -> ArchiveWitness:
        """The witness that this cell is."""
        return ArchiveWitness(volume, field, value, unit, self.locator, shortened(self.text), is_unconfirmed)


def annotation(path: str, document: bytes) -> Iterator[ArchiveWitness]:
    """What each row says of the image that it names.

    Raises
    ------
    FormatError
        No table with a column `Image Name`.
    """
    rows = _rows(path, load_text(path, document), ",")
    heading = [name.strip() for name in next(rows, [])]
    if "Image Name" not in heading:
        found = shortened(", ".join(heading), 200)
        raise FormatError(f"{path}: a table with a column 'Image Name' expected, found {found or 'nothing'}")
    for number, row in enumerate(rows, 2):
        texts = (text.strip() for text in row)
        cells = [Cell(text, number, at, name) for at, (text, name) in enumerate(zip(texts, heading, strict=False), 1)]
        yield from _of_image(cells)


def file_list(path: str, document: bytes) -> Iterator[ArchiveWitness]:
    """Each file that the archive took in: the second column; the first one says into what."""
    separator = "," if path.casefold().endswith(".csv") else "\t"
    for number, row in enumerate(_rows(path, load_text(path, document), separator), 1):
        if len(row) > 1 and "/" in row[1]:
            cell = Cell(row[1].strip(), number, 2, "")
            yield cell.says("declared_file", cell.text.rsplit("/", 1)[-1], volume=_below_study(cell.text))


def import_settings(path: str, document: bytes) -> Iterator[ArchiveWitness]:
    """Where the list of files stands.

    Raises
    ------
    FormatError
        No YAML, or more than settings need.
    """
    import yaml

    if len(document) > MOST_YAML_BYTES:
        raise FormatError(f"{path}: settings of at most {MOST_YAML_BYTES:,} bytes expected, {len(document):,} found")
    try:
        settings = yaml.safe_load(load_text(path, document))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise FormatError(f"{path}: no YAML that can be read ({shortened(str(error), 200)})") from error
    listed = settings.get("path") if isinstance(settings, dict) else None
    if isinstance(listed, str) and listed:
        yield ArchiveWitness(None, "declared_file_list", listed, None, "/path", shortened(listed))


def taxon(text: str) -> int | None:
    """`NCBITaxon_9606` and `9606` are 9606."""
    match = _TAXON.fullmatch(text)
    return int(match[1]) if match else None


def _of_image(cells: list[Cell]) -> Iterator[ArchiveWitness]:
    by_heading = {cell.heading: cell for cell in cells if cell.text}
    image = by_heading.get("Image Name")
    if image is None:
        return
    organism = by_heading.get("Characteristics [Organism]")
    if organism is not None:
        yield organism.says("organism", organism.text, volume=image.text)
        yield from _taxon_beside(organism, cells, image.text)
    sample = next((by_heading[name] for name in _SAMPLE_COLUMNS if name in by_heading), None)
    if sample is not None:
        yield sample.says("sample", sample.text, volume=image.text)
    description = by_heading.get("Comment [Image Description]")
    if description is not None:
        yield description.says("description", description.text, volume=image.text)
    yield from _voxel_size(image)


def _taxon_beside(organism: Cell, cells: list[Cell], image: str) -> Iterator[ArchiveWitness]:
    """The accession stands two columns after its term: `Organism, Term Source 1 REF, Term Source 1 Accession`."""
    beside = cells[organism.column : organism.column + 2]
    accession = next((cell for cell in beside if cell.heading.endswith("Accession")), None)
    if accession is not None and accession.text:
        number = taxon(accession.text)
        yield accession.says("organism_taxon", number, volume=image, is_unconfirmed=number is None)


def _voxel_size(image: Cell) -> Iterator[ArchiveWitness]:
    """A size in the image's name. Which axis is which is not said, so only a cube's is known."""
    match = _VOXEL.search(image.text)
    if match is None:
        return
    sizes = {float(match[group]) for group in (1, 2, 3)}
    size = sizes.pop() if len(sizes) == 1 else None
    for axis in "zyx":
        witness = image.says(f"voxel_size_{axis}_nm", size, match[4] if size else None, image.text, size is None)
        yield witness._replace(raw=match[0])


def _below_study(path: str) -> str:
    """The path from the study's folder on: what stands before it is the archive's own disk."""
    parts = [part for part in path.split("/") if part]
    start = next((at for at, part in enumerate(parts) if _STUDY_FOLDER.fullmatch(part)), 0)
    return "/".join(parts[start:])


def _rows(path: str, text: str, separator: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    except csv.Error as error:
        raise FormatError(f"{path}: no table that can be read ({error})") from error
