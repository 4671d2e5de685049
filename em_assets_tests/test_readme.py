"""What the README says of make and of the archives is so; its code blocks are run by `docs/test_code_blocks.py`."""

import re
import subprocess
from pathlib import Path

import pytest

from em_assets.datasets import builtin_names, read_toml

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text()


@pytest.mark.parametrize("target", ["demo", "test", "ui", "docs", "live", "schema"])
def test_the_make_targets_that_it_names_exist(target: str) -> None:
    subprocess.run(["make", "-n", target], cwd=REPOSITORY, check=True, capture_output=True, timeout=60)


def test_it_says_of_every_dataset_when_it_was_last_confirmed_live() -> None:
    lines = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|.*\| ([^|]+) \|$", README, re.MULTILINE)
    rows = {name: said for names, said in lines for name in re.findall(r"\w+", names)}
    registered = {name: read_toml(REPOSITORY / f"em_assets/datasets/{name}.toml") for name in builtin_names()}
    assert {name: rows[name] for name in registered} == {
        name: dataset.last_confirmed_live for name, dataset in registered.items()
    }
