"""The page in the store: `catalog/index.html`, written in one step, and sent where the store is in a bucket."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from em_assets.catalog.tables import write_text
from em_assets.catalog.writing import TURN
from em_assets.datasets import Dataset
from em_assets.keeping import bring_folder, changing, send_folder, turn
from em_assets.page.catalogue import Catalogue, catalogue_of
from em_assets.page.rendering import page_html
from em_assets.settings import Settings, claim_store, store_origin
from em_assets.sources.partial import writable

PAGE_FILE = "index.html"


class Written(NamedTuple):
    """The page: its file on this disk, where people find it, its bytes, and what it shows."""

    path: Path
    address: str
    size_bytes: int
    catalogue: Catalogue


def write_page(
    datasets: Mapping[str, Dataset], settings: Settings, log: Callable[[str], None] = lambda line: None
) -> Written:
    """Write the page from what the store holds now; `log` hears where another process is writing.

    Raises
    ------
    OriginMismatchError
        The store was filled from another origin, which every card would be labelled with.
    StoreError
        The disk or the bucket refuses.
    """
    if store_origin(settings.remote or settings.store) is not None:  # looking at an empty store binds it to nothing
        claim_store(settings)
    folder = settings.catalog_dir
    with turn(settings, TURN, log):
        catalogue = catalogue_of(datasets, settings)
        text = page_html(catalogue)
        # What is sent becomes the folder: the tables that lie in it in the bucket must be here too.
        bring_folder(settings, folder)
        size_bytes = len(text.encode())
        with changing(settings, folder):
            with writable(folder / PAGE_FILE, "the page", size_bytes):
                write_text(text, folder / PAGE_FILE)
            send_folder(settings, folder)
    return Written(folder / PAGE_FILE, page_address(settings), size_bytes, catalogue)


def page_address(settings: Settings) -> str:
    """Where the page is: a path, or its place in the bucket."""
    return f"{settings.address}/{settings.catalog_dir.name}/{PAGE_FILE}"
