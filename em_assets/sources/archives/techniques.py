"""Which technique a record's words name, and which of two is only the other one's kind."""

import re

_NAMED = {
    "FIB-SEM": r"FIB[- ]?SEM|focus+ed[- ]ion[- ]beam",
    "SBF-SEM": r"SBF[- ]?SEM|SBEM|serial[- ]block[- ]face",
    "ssTEM": r"ssTEM|serial[- ]section (?:TEM|transmission)",
    "ssSEM": r"ssSEM|serial[- ]section (?:SEM|scanning)",
    "cryo-ET": r"cryo[- ]?ET\b|cryo[- ](?:electron )?tomograph",
    "electron tomography": r"electron tomograph",
    "light-sheet": r"light[- ]?sheet",
    "TEM": r"\bTEM\b|transmission electron",
    "SEM": r"\bSEM\b|scanning electron",
}
_KIND_OF = {
    "FIB-SEM": "SEM",
    "SBF-SEM": "SEM",
    "ssSEM": "SEM",
    "ssTEM": "TEM",
    "cryo-ET": "electron tomography",
    "electron tomography": "TEM",
}
_PATTERNS = {word: re.compile(pattern, re.IGNORECASE) for word, pattern in _NAMED.items()}
_MOST_CHARACTERS = 2000


def techniques_named(text: str) -> set[str]:
    """The techniques that a text names, without those that only say the kind of another: FIB-SEM is an SEM."""
    return finest({word for word, pattern in _PATTERNS.items() if pattern.search(text[:_MOST_CHARACTERS])})


def finest(words: set[str]) -> set[str]:
    """The words without those that another one is a kind of."""
    kinds: set[str] = set()
    for word in words:
        kind = _KIND_OF.get(word)
        while kind is not None:
            kinds.add(kind)
            kind = _KIND_OF.get(kind)
    return words - kinds
