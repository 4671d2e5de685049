"""What each entry of `LAYOUTS` is tried with; a new layout brings a line here."""

from collections.abc import Mapping
from typing import NamedTuple


class Case(NamedTuple):
    """How the contract is tried on one layout.

    Attributes
    ----------
    datasets
        Of the sample, exported in one call.
    entries
        What the export consists of, at the top of its place; `*` stands for the id that a register gives.
    validators
        Name of a validator beside the project, the entry that it is given, and options; () where there is none.
    """

    datasets: tuple[str, ...]
    entries: tuple[str, ...]
    validators: tuple[tuple[str, ...], ...] = ()


CASES: Mapping[str, Case] = {
    "citation": Case(("empiar_11759", "u2os_chromatin"), ("CITATION.cff", "citations.bib")),
    "croissant": Case(("empiar_11759", "u2os_chromatin"), ("em_assets_croissant",)),
    "cryoet": Case(("cryoet_10001",), ("[0-9]*",), (("cryoet", "[0-9]*"),)),
    "ro-crate": Case(("u2os_chromatin",), ("u2os_chromatin.zarr",), (("ngff", "u2os_chromatin.zarr"),)),
    "visor": Case(("visor_bb001",), ("visor_bb001",), (("visor", "visor_bb001"),)),
    "visor-2025": Case(("visor_bb001",), ("visor_bb001.vsr",), (("visor", "visor_bb001.vsr"),)),
}
