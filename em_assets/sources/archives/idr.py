"""IDR: what the Image Data Resource says of a study, in the files of its curators' repository.

`idr<number>-study.txt` (keys and values, a section an experiment), and for each experiment an annotation (CSV, a row
an image), a list of files (TSV) and settings of the import (YAML). What a whole experiment counts (images, terabytes)
is not said of the few images that a dataset takes, so it is no claim.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from em_assets.errors import FormatError
from em_assets.sources.archives.idr_tables import Cell, annotation, file_list, import_settings, taxon
from em_assets.sources.archives.record import ArchiveWitness, is_iso_date, load_text, shortened
from em_assets.sources.archives.techniques import finest, techniques_named

Section = dict[str, list[Cell]]

_BEGINS = ("Experiment Number", "Screen Number")
_NAMES = ("Comment[IDR Experiment Name]", "Comment[IDR Screen Name]")
_MOST_VALUES = 50
"""Cells of one key: a line of more is no line of a study."""


def witnesses(path: str, document: bytes) -> Iterator[ArchiveWitness]:
    """What one of the study's files says; files of other names say nothing of our fields.

    Raises
    ------
    FormatError
        It is not what its name promises.
    """
    name = PurePosixPath(path).name.casefold()
    if name.endswith("study.txt"):
        yield from _study(path, document)
    elif name.endswith("annotation.csv"):
        yield from annotation(path, document)
    elif name.endswith(("filepaths.tsv", "filepaths.csv")):
        yield from file_list(path, document)
    elif name.endswith(("bulk.yml", "bulk.yaml")):
        yield from import_settings(path, document)


def _study(path: str, document: bytes) -> Iterator[ArchiveWitness]:
    study, experiments = _sections(path, load_text(path, document))
    yield from _texts(study, {"Study Title": "title", "Study Description": "description", "Study License": "licence"})
    yield from _list(study, "Study Author List", "authors")
    for cell in study.get("Study Public Release Date", [])[:1]:
        yield cell.says("released_on", cell.text, is_unconfirmed=not is_iso_date(cell.text))
    yield from _texts(study, {"Study Data DOI": "doi"})
    yield from _citation(study)
    yield from _organism(study, "Study", None)
    for experiment in experiments:
        names = [cells[0].text for name in _NAMES if (cells := experiment.get(name))]
        yield from _of_experiment(experiment, names[0] if names else None)


def _sections(path: str, text: str) -> tuple[Section, list[Section]]:
    """Key → its cells that are not empty: of the study, and of each experiment."""
    study: Section = {}
    experiments: list[Section] = []
    for number, line in enumerate(text.splitlines(), 1):
        key, _, rest = line.partition("\t")
        key = key.strip()
        if not key or not rest or key.startswith("#"):
            continue
        if key in _BEGINS:
            experiments.append({})
        texts = enumerate(rest.split("\t")[:_MOST_VALUES], 2)
        cells = [Cell(text.strip(), number, column, key) for column, text in texts if text.strip()]
        if cells:
            (experiments[-1] if experiments else study).setdefault(key, cells)
    if not any(key.startswith("Study ") for key in study):
        raise FormatError(f"{path}: lines of a study (`Study Title<tab>…`) expected, found {shortened(text, 80)!r}")
    return study, experiments


def _texts(section: Section, fields: dict[str, str], volume: str | None = None) -> Iterator[ArchiveWitness]:
    for key, field in fields.items():
        for cell in section.get(key, [])[:1]:
            yield cell.says(field, cell.text, volume=volume)


def _list(section: Section, key: str, field: str) -> Iterator[ArchiveWitness]:
    for cell in section.get(key, [])[:1]:
        yield cell.says(field, [name.strip() for name in cell.text.split(",") if name.strip()])


def _citation(study: Section) -> Iterator[ArchiveWitness]:
    """Authors, title and DOI of the publication; its DOI is not the data's."""
    title = study.get("Study Publication Title", [])[:1]
    authors = study.get("Study Author List", [])[:1]
    dois = [f"doi:{cell.text}" for cell in study.get("Study DOI", [])[:1]]
    for cell in title:
        yield cell.says("citation", ". ".join([*(author.text for author in authors), cell.text, *dois]))


def _of_experiment(experiment: Section, place: str | None) -> Iterator[ArchiveWitness]:
    texts = {
        "Experiment Description": "description",
        "Experiment Data DOI": "doi",
        "Experiment Sample Type": "sample_type",
    }
    yield from _texts(experiment, texts, place)
    yield from _technique(experiment, place)
    yield from _organism(experiment, "Experiment", place)


def _technique(experiment: Section, place: str | None) -> Iterator[ArchiveWitness]:
    """The comments may name it more finely than the method does: SEM there, FIB-SEM here."""
    cells = [cell for key in ("Experiment Comments", "Experiment Imaging Method") for cell in experiment.get(key, [])]
    named = {cell: techniques_named(cell.text) for cell in cells}
    fine = finest({word for words in named.values() for word in words})
    for cell, words in named.items():
        for word in sorted(words & fine):
            yield cell.says("technique", word, volume=place)
    if not fine:
        for cell in experiment.get("Experiment Imaging Method", []):
            yield cell.says("technique", cell.text, volume=place, is_unconfirmed=True)


def _organism(section: Section, level: str, place: str | None) -> Iterator[ArchiveWitness]:
    """The only one; of several none is said to be that of a volume."""
    names = section.get(f"{level} Organism", [])
    for cell in names[:1]:
        only = cell.text if len(names) == 1 else None
        witness = cell.says("organism", only, volume=place, is_unconfirmed=only is None)
        yield witness._replace(raw=shortened("; ".join(name.text for name in names)))
    accessions = section.get(f"{level} Organism Term Accession", [])
    for cell in accessions[:1]:
        number = taxon(cell.text) if len(accessions) == 1 else None
        witness = cell.says("organism_taxon", number, volume=place, is_unconfirmed=number is None)
        yield witness._replace(raw=shortened("; ".join(one.text for one in accessions)))
