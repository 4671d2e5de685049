"""Closed vocabularies, and the other words that people use for theirs: techniques, organisms, types, licences, content.

A table row is the word, its id (None where no real one was seen), and what else means the same.
"""

import re
from typing import NamedTuple


class Term(NamedTuple):
    """A word of a vocabulary, its id there, and its synonyms.

    `alone` mean it only as the whole text: a genus is its best-known species only where no other one is named.
    In a text that names several terms the highest `rank` is meant; two of one rank are none.
    """

    word: str
    identifier: str | None
    synonyms: tuple[str, ...]
    alone: tuple[str, ...] = ()
    rank: int = 1


TECHNIQUE_TERMS = (
    Term("FIB-SEM", "FBbi_00050000", ("focused ion beam", "focussed ion beam", "FIB", "ion beam milling")),
    Term("SBF-SEM", "FBbi_00000585", ("serial block face", "block face SEM", "SBEM", "SBF", "3View", "3D SBSEM")),
    Term("ssTEM", None, ("serial section TEM", "serial section transmission", "GridTape TEM", "TEM camera array")),
    Term("ssSEM", None, ("serial section SEM", "serial section scanning", "ATUM", "multibeam SEM", "array tomography")),
    Term(
        "cryo-ET",
        None,
        ("cryo electron tomography", "cryogenic electron tomography", "cryoET", "cryo tomography"),
        rank=2,  # a lamella that an ion beam thinned is imaged by tomography
    ),
    Term("electron tomography", None, ("ET", "TEM tomography", "STEM tomography")),
    Term("light-sheet", None, ("light sheet", "lightsheet", "VISoR", "SPIM", "selective plane illumination", "LSFM")),
    Term("TEM", "FBbi_00000258", ("transmission electron microscopy", "transmission EM"), rank=0),
    Term("SEM", None, ("scanning electron microscopy", "scanning EM"), rank=0),
    Term("other", None, ("scanning transmission electron microscopy", "scanning transmission EM"), ("STEM",), -1),
)
"""The general have the lowest rank: `serial section TEM` is ssTEM before it is TEM."""

TECHNIQUES = tuple(term.word for term in TECHNIQUE_TERMS)

ORGANISM_TERMS = (
    Term("Homo sapiens", "9606", ("human", "HeLa", "U2OS", "HEK293"), ("man", "patient")),
    Term("Mus musculus", "10090", ("mouse", "mice", "murine", "house mouse")),
    Term("Rattus norvegicus", None, ("rat", "rats", "brown rat")),
    Term("Danio rerio", "7955", ("zebrafish", "zebra fish")),
    Term(
        "Drosophila melanogaster",
        "7227",
        ("fruit fly", "vinegar fly", "d melanogaster"),
        ("fly", "adult fly", "drosophila"),
    ),
    Term("Caenorhabditis elegans", None, ("c elegans",), ("worm", "nematode", "roundworm", "caenorhabditis")),
    Term("Taeniopygia guttata", None, ("zebra finch", "zebrafinch")),
    Term("Platynereis dumerilii", None, ("p dumerilii",), ("platynereis", "ragworm")),
    Term("Macaca mulatta", None, ("rhesus macaque", "rhesus monkey"), ("macaque", "macaca")),
    Term("Gallus gallus", None, ("chicken", "chick")),
    Term("Xenopus laevis", None, ("x laevis",), ("clawed frog", "xenopus")),
    Term(
        "Saccharomyces cerevisiae", None, ("baker's yeast", "budding yeast", "s cerevisiae"), ("yeast", "saccharomyces")
    ),
    Term("Schizosaccharomyces pombe", None, ("fission yeast", "s pombe"), ("schizosaccharomyces",)),
    Term("Chlamydomonas reinhardtii", None, ("c reinhardtii",), ("chlamydomonas",)),
    Term("Arabidopsis thaliana", None, ("thale cress", "a thaliana"), ("arabidopsis",)),
    Term("Escherichia coli", None, ("e coli",)),
    Term("Trypanosoma brucei", None, ("t brucei",), ("trypanosome", "trypanosoma")),
    Term("Octopus vulgaris", None, ("o vulgaris",), ("octopus",)),
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
        "em",
        None,
        ("electron microscopy", "EM image", "EM images", "greyscale", "grayscale"),
        ("image", "images", "raw", "raw image", "raw images", "raw data"),
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
    """The term that a text means: as a whole, else the one that is named inside it; None where it names several."""
    bare = _bare(text)
    for term in terms:
        if bare in {_bare(word) for word in (term.word, *term.synonyms, *term.alone)}:
            return term
    named = _named_inside(f" {_words(text)} ", terms)
    highest = max((term.rank for term in named), default=0)
    best = [term for term in named if term.rank == highest]
    return best[0] if len(best) == 1 else None


def _named_inside(words: str, terms: tuple[Term, ...]) -> list[Term]:
    """The terms whose words stand in a text, none inside a longer word of another, nor beside another species."""
    found: list[tuple[int, int, Term]] = []
    for term in terms:
        if _is_of_other_species(words, term):
            continue
        for word in (term.word, *term.synonyms):
            inner = f" {_words(word)} "
            if len(_bare(word)) >= _LONG_WORD and (start := words.find(inner)) >= 0:
                found.append((start, start + len(inner), term))
    longest = [
        term
        for start, end, term in found
        if not any(a <= start and end <= b and b - a > end - start for a, b, _ in found)
    ]
    return [term for term in terms if term in longest]


def _is_of_other_species(words: str, term: Term) -> bool:
    """Whether a text names the term's genus and not its species."""
    genus = term.word.casefold().partition(" ")[0]
    is_genus = genus in term.alone and f" {genus} " in words
    return is_genus and f" {_words(term.word)} " not in words


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
    return " ".join(re.findall(r"\d+(?:\.\d+)+|[a-z0-9]+", text.casefold()))
