"""Two processes that write the catalog at once: whoever comes later has the newer data."""

import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from em_assets import datasets
from em_assets.catalog.writing import read_catalog, write_catalog
from em_assets.datasets import Dataset
from em_assets.page.writing import write_page
from em_assets.settings import Settings

FIRST, LAST = "epfl_hippocampus", "u2os_chromatin"


class Halting(Mapping[str, Dataset]):
    """Two datasets; who asks for the last one has read the first, and is held there until the other writer came."""

    def __init__(self, known: Mapping[str, Dataset]) -> None:
        self._known = {name: known[name] for name in (FIRST, LAST)}
        self.has_read, self.may_go_on = threading.Event(), threading.Event()

    def __getitem__(self, name: str) -> Dataset:
        if name == LAST:
            self.has_read.set()
            assert self.may_go_on.wait(60)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def in_tables(settings: Settings) -> set[str]:
    return set(read_catalog(settings)["datasets"]["dataset"].to_pylist())


def in_page(settings: Settings) -> set[str]:
    page = (settings.catalog_dir / "index.html").read_text("utf-8")
    return {name for name in (FIRST, LAST) if f'id="{name}/' in page}


@pytest.mark.parametrize(
    ("write", "shown"), [(write_catalog, in_tables), (write_page, in_page)], ids=["tables", "page"]
)
def test_what_was_read_before_is_not_written_after(
    held: Settings, tmp_path: Path, write: Callable[..., Any], shown: Callable[[Settings], set[str]]
) -> None:
    """The slow writer has read that nothing of a dataset is held; then it is, and another writer comes."""
    shutil.copytree(held.store, tmp_path / "store", symlinks=True, ignore=shutil.ignore_patterns("sample_sources"))
    own = replace(held, store=tmp_path / "store")
    aside = own.raw_dir(FIRST).rename(tmp_path / "aside")
    slow = Halting(datasets.load(own))
    waited: list[str] = []

    def wait(line: str) -> None:
        waited.append(line)
        slow.may_go_on.set()

    def come_later() -> None:
        try:
            assert slow.has_read.wait(60)
            aside.rename(own.raw_dir(FIRST))
            write({name: datasets.get(name, own) for name in (FIRST, LAST)}, own, wait)
        finally:
            slow.may_go_on.set()

    other = threading.Thread(target=come_later)
    other.start()
    write(slow, own)
    other.join()
    assert shown(own) == {FIRST, LAST}
    assert waited == ["waiting for another run, which is writing catalog"]
