"""u2os_chromatin: what IDR's curators keep of the study idr0086, in the four kinds of files of their repository.

Keys, columns, names, identifiers, people and licence are as published (github:IDR/idr0086-miron-micrographs);
descriptions are the sample's own, and of the study's four experiments only the one with these stacks and one beside it
are written.
"""

from pathlib import Path

from em_assets.sample.stacks import U2OS_NAME

REPOSITORY = "raw.githubusercontent.com/IDR/idr0086-miron-micrographs/master"

_PEOPLE = (
    "Miron E, Oldenkamp R, Brown JM, Pinto DMS, Xu CS, Faria AR, Shaban HA, Rhodes JDP, Innocent C, de Ornellas S, "
    "Hess HF, Buckle V, Schermelleh L"
)
_TITLE = "Chromatin arranges in chains of mesoscale domains with nanoscale functional topography independent of cohesin"
_STUDY = (
    ("Comment[IDR Study Accession]", "idr0086"),
    ("Study Title", _TITLE),
    ("Study Type", "micrograph"),
    (
        "Study Description",
        "A look-alike of the study's record, written by em_assets beside stacks with made-up voxels.",
    ),
    ("Study Organism", ""),
    ("Study Experiments Number", "4"),
    ("Study Public Release Date", "2020-07-22"),
    ("Study PubMed ID", "32967822"),
    ("Study Publication Title", _TITLE),
    ("Study Author List", _PEOPLE),
    ("Study DOI", "10.1126/sciadv.aba8811"),
    ("Study License", "CC BY 4.0"),
    ("Study License URL", "https://creativecommons.org/licenses/by/4.0/"),
    ("Study Data Publisher", "University of Dundee"),
    ("Study Data DOI", "https://doi.org/10.17867/10000141"),
)
_EXPERIMENT_A = (
    ("Experiment Number", "1"),
    ("Comment[IDR Experiment Name]", "idr0086-miron-micrographs/experimentA"),
    ("Experiment Data DOI", "https://doi.org/10.17867/10000141a"),
    ("Experiment Sample Type", "cell"),
    ("Experiment Description", "Light microscopy of the same study; not among the sample's files."),
    ("Experiment Imaging Method", "structured illumination microscopy (SIM)"),
    ("Experiment Imaging Method Term Accession", "Fbbi_00000332"),
    ("Experiment Organism", "Mus musculus", "Homo sapiens"),
    ("Experiment Organism Term Accession", "10090", "9606"),
)
_EXPERIMENT_D = (
    ("Experiment Number", "4"),
    ("Comment[IDR Experiment Name]", "idr0086-miron-micrographs/experimentD"),
    ("Experiment Data DOI", "https://doi.org/10.17867/10000141d"),
    ("Experiment Sample Type", "cell"),
    ("Experiment Description", "Electron micrographs of nuclei: two stacks with made-up voxels."),
    ("Experiment Imaging Method", "scanning electron microscopy (SEM)"),
    ("Experiment Imaging Method Term Accession", "Fbbi_00000257"),
    ("Experiment Organism", "Homo sapiens"),
    ("Experiment Organism Term Source REF", "NCBITaxon"),
    ("Experiment Organism Term Accession", "9606"),
    ("Experiment Comments", "FIB-SEM, Focused Ion Beam Scanning Electron Microscopy"),
)
_COLUMNS = (
    "Dataset Name",
    "Image Name",
    "Characteristics [Organism]",
    "Term Source 1 REF",
    "Term Source 1 Accession",
    "Characteristics [Cell Line]",
    "Term Source 2 REF",
    "Term Source 2 Accession",
    "Experimental Condition [Cell Cycle Stage]",
    "Comment [Image Description]",
)
_CELLS = (
    "Homo sapiens",
    "NCBITaxon",
    "NCBITaxon_9606",
    "U2OS",
    "EFO",
    "EFO_0002869",
    "G1",
    "made-up voxels of the sample",
)
_FOLDER = "/uod/idr/filesets/idr0086-miron-micrographs/20200610-ftp/experimentD/Miron_FIB-SEM/Miron_FIB-SEM_processed/"


def write_idr(http_root: Path) -> None:
    """The study file and experiment D's annotation, list of files and settings."""
    folder = http_root / REPOSITORY
    experiment = folder / "experimentD"
    experiment.mkdir(parents=True)
    sections = [_lines(section) for section in (_STUDY, _EXPERIMENT_A, _EXPERIMENT_D)]
    (folder / "idr0086-study.txt").write_text("\n\n# \n".join(sections) + "\n", encoding="utf-8")
    names = [U2OS_NAME.format(plane) for plane in ("xy", "xz")]
    rows = [",".join(_COLUMNS), *(",".join(("U2OS_chromatin", name, *_CELLS)) for name in names)]
    stem = "idr0086-experimentD"
    # The curators' CSV begins with a byte order mark, and their TSV ends its lines as Windows does.
    (experiment / f"{stem}-annotation.csv").write_bytes("\n".join([*rows, ""]).encode("utf-8-sig"))
    listed = "".join(f"Dataset:name:U2OS_chromatin\t{_FOLDER}{name}\r\n" for name in names)
    (experiment / f"{stem}-filePaths.tsv").write_bytes(listed.encode())
    settings = f'---\ncontinue: "true"\npath: "{stem}-filePaths.tsv"\ncolumns:\n  - target\n  - path\n'
    (experiment / f"{stem}-bulk.yml").write_text(settings, encoding="utf-8")


def _lines(section: tuple[tuple[str, ...], ...]) -> str:
    return "\n".join("\t".join(cells) for cells in section)
