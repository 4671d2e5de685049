"""Under which licences volumes may be used, for those who pass them on; that nobody says is a state of its own."""

from collections.abc import Sequence
from typing import NamedTuple

from em_assets.evidence.vocabulary import LICENCE_TERMS, term_of
from em_assets.model import VolumeRecord

UNKNOWN = "Licence unknown: nobody says under which one these data may be used; ask the publisher."


class Licences(NamedTuple):
    """What is said of some volumes: each licence once, and the names of the volumes of which nothing is said."""

    known: tuple[str, ...]
    unlicensed: tuple[str, ...]

    @property
    def is_unknown(self) -> bool:
        """Whether nobody says a licence of any of them."""
        return bool(self.unlicensed) and not self.known

    @property
    def needs_words(self) -> bool:
        """Whether one licence does not hold for all of them."""
        return bool(self.unlicensed) or len(self.known) > 1

    @property
    def in_words(self) -> str:
        """The licences as a sentence, or two."""
        known = f"Licence: {', '.join(self.known)}." if self.known else ""
        if not self.unlicensed:
            return known
        return UNKNOWN if self.is_unknown else f"{known} Licence of {', '.join(self.unlicensed)} unknown."

    @property
    def notes(self) -> tuple[str, ...]:
        """One line where a licence is unknown; none where all are known."""
        return (f"licence of {', '.join(self.unlicensed)} unknown",) if self.unlicensed else ()


def licences_of(records: Sequence[VolumeRecord]) -> Licences:
    """The licences of these volumes, in the order of their names."""
    return Licences(
        known=tuple(sorted({record.licence for record in records if record.licence})),
        unlicensed=tuple(f"{record.dataset}/{record.volume}" for record in records if not record.licence),
    )


def spdx_identifier(licence: str) -> str | None:
    """The licence as SPDX names it; None for one that our vocabulary lacks."""
    return licence if term_of(licence, LICENCE_TERMS) else None


def licence_url(licence: str) -> str | None:
    """Where the licence is written down; None where that is not known."""
    if spdx_identifier(licence):
        return f"https://spdx.org/licenses/{licence}"
    return licence if licence.startswith(("https://", "http://")) else None
