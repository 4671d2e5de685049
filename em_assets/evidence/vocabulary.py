"""Closed vocabularies, and the other words that people use for theirs: techniques, organisms, types, licences, content.

A table row is the word, its id (None where no real one was seen), and what else means the same.
"""

import re
from typing import NamedTuple


class Term(NamedTuple):
    """A word of a vocabulary, its id there, and its synonyms."""

    word: str
    identifier: str | None
    synonyms: tuple[str, ...]


TECHNIQUE_TERMS = (
    Term("FIB-SEM", "FBbi_00050000", ("focused ion beam", "focussed ion beam", "FIB", "ion beam milling")),
    Term("SBF-SEM", "FBbi_00000585", ("serial block face", "block face SEM", "SBEM", "SBF", "3View", "3D SBSEM")),
    Term("ssTEM", None, ("serial section TEM", "serial section transmission", "GridTape TEM", "TEM camera array")),
    Term("ssSEM", None, ("serial section SEM", "serial section scanning", "ATUM", "multibeam SEM", "array tomography")),
    Term("cryo-ET", None, ("cryo electron tomography", "cryogenic electron tomography", "cryoET", "cryo tomography")),
    Term("electron tomography", None, ("ET", "TEM tomography", "STEM tomography")),
    Term("light-sheet", None, ("light sheet", "lightsheet", "VISoR", "SPIM", "selective plane illumination", "LSFM")),
    Term("TEM", "FBbi_00000258", ("transmission electron microscopy", "transmission EM")),
    Term("SEM", None, ("scanning electron microscopy", "scanning EM")),
    Term("other", None, ()),
)
"""The special before the general: `serial section TEM` is ssTEM before it is TEM."""

TECHNIQUES = tuple(term.word for term in TECHNIQUE_TERMS)

ORGANISM_TERMS = (
    Term("Homo sapiens", "9606", ("human", "man", "patient", "HeLa", "U2OS", "HEK293")),
    Term("Mus musculus", "10090", ("mouse", "mice", "murine", "house mouse")),
    Term("Rattus norvegicus", None, ("rat", "rats", "brown rat")),
    Term("Danio rerio", "7955", ("zebrafish", "zebra fish")),
    Term(
        "Drosophila melanogaster",
        "7227",
        ("fly", "fruit fly", "adult fly", "drosophila", "vinegar fly", "d melanogaster"),
    ),
    Term("Caenorhabditis elegans", None, ("c elegans", "worm", "nematode", "roundworm")),
    Term("Taeniopygia guttata", None, ("zebra finch", "zebrafinch")),
    Term("Platynereis dumerilii", None, ("platynereis", "ragworm")),
    Term("Macaca mulatta", None, ("rhesus macaque", "rhesus monkey", "macaque")),
    Term("Gallus gallus", None, ("chicken", "chick")),
    Term("Xenopus laevis", None, ("clawed frog", "xenopus")),
    Term("Saccharomyces cerevisiae", None, ("yeast", "baker's yeast", "budding yeast")),
    Term("Schizosaccharomyces pombe", None, ("fission yeast", "s pombe")),
    Term("Chlamydomonas reinhardtii", None, ("chlamydomonas",)),
    Term("Arabidopsis thaliana", None, ("arabidopsis", "thale cress")),
    Term("Escherichia coli", None, ("e coli",)),
    Term("Trypanosoma brucei", None, ("trypanosome",)),
    Term("Octopus vulgaris", None, ("octopus",)),
)
"""NCBI Taxonomy; the number is None where no real record that carries it was seen here."""

LICENCE_TERMS = (
    Term(
        "CC0-1.0", None, ("CC0", "CC 0", "CC0 1.0", "creativecommons.org/publicdomain/zero/1.0", "public domain zero")
    ),
    Term("CC-BY-4.0", None, ("CC BY 4.0", "Attribution 4.0", "creativecommons.org/licenses/by/4.0")),
    Term("CC-BY-3.0", None, ("CC BY 3.0", "creativecommons.org/licenses/by/3.0")),
    Term("CC-BY-SA-4.0", None, ("CC BY SA 4.0", "creativecommons.org/licenses/by-sa/4.0")),
    Term("CC-BY-NC-4.0", None, ("CC BY NC 4.0", "creativecommons.org/licenses/by-nc/4.0")),
    Term("CC-BY-NC-SA-4.0", None, ("CC BY NC SA 4.0", "creativecommons.org/licenses/by-nc-sa/4.0")),
    Term("MIT", None, ("MIT License",)),
)

CONTENT_TERMS = (
    Term(
        "em", None, ("electron microscopy", "EM image", "EM images", "image", "images", "raw", "greyscale", "grayscale")
    ),
    Term(
        "labels",
        None,
        ("label", "segmentation", "segmentations", "seg", "mask", "masks", "annotation", "instances", "ground truth"),
    ),
    Term("fluorescence", None, ("light microscopy", "lm", "fluorescent")),
)
CONTENTS = tuple(term.word for term in CONTENT_TERMS)

_LONG_WORD = 4
"""A synonym as long as this is found inside a longer text; a shorter one must be the whole of it."""


def find_term(text: str, terms: tuple[Term, ...]) -> Term | None:
    """The term that a text means: the whole text first, then the first term named inside it."""
    bare = _bare(text)
    for term in terms:
        if bare in {_bare(word) for word in (term.word, *term.synonyms)}:
            return term
    words = f" {_words(text)} "
    for term in terms:
        for word in (term.word, *term.synonyms):
            if len(_bare(word)) >= _LONG_WORD and f" {_words(word)} " in words:
                return term
    return None


def term_of(word: str | None, terms: tuple[Term, ...]) -> Term | None:
    """The term of exactly that word."""
    return next((term for term in terms if term.word == word), None)


def dtype_word(text: str) -> str | None:
    """A type as numpy names it, from numpy's own words and from those of viewers, archives and C; None if unknown.

    `UNSIGNED_INT8_DATA`, `unsigned byte`, `8-bit`, `|u1`, `GRAY16`, `uint8_t`, `float` and `32-bit real` are read.
    """
    import numpy as np

    word = text.strip().casefold()
    if not _NUMPYS_OWN.fullmatch(word):
        return _spelt_out(word)
    try:
        dtype = np.dtype(word)
    except (TypeError, ValueError):
        return _spelt_out(word)
    return dtype.name


_NUMPYS_OWN = re.compile(r"[<>=|]?[iuf][1248]|u?int\d{1,2}|float\d{2}|bool")
_C_BITS = {"byte": 8, "char": 8, "short": 16, "int": 32, "long": 64, "double": 64, "float": 32}


def _spelt_out(word: str) -> str | None:
    """`unsigned_int8_data` → uint8: a kind, a sign and a number of bits, in any order."""
    words = re.findall(r"[a-z]+|\d+", word)
    bits = next((int(one) for one in words if one in ("8", "16", "32", "64")), None)
    joined = " ".join(words)
    if bits is None:
        bits = next((size for name, size in _C_BITS.items() if name in words), None)
    if bits is None:
        return None
    if any(name in joined for name in ("float", "real", "double")):
        return f"float{bits}" if bits > 8 else None
    if "complex" in joined:
        return None
    is_unsigned = any(name in joined for name in ("unsign", "uint", "gray", "grey")) or word.startswith("u")
    is_signed = "sign" in joined or "int" in words or "short" in words or "long" in words
    if is_unsigned or (bits in (8, 16) and not is_signed):
        return f"uint{bits}"
    return f"int{bits}" if is_signed else None


def _bare(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum())


def _words(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9.]+", text.casefold().replace("/", " ")))
