"""What the commands printed last time, to compare with what they print now."""

from collections.abc import Callable
from pathlib import Path

import pytest

SNAPSHOTS = Path(__file__).with_name("snapshots")
REWRITE = "look at the difference; if it is meant: pytest em_assets_tests/cli --write-snapshots"


@pytest.fixture
def compared(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares text with the snapshot of that name, or writes it."""

    def compare(name: str, text: str) -> None:
        path = SNAPSHOTS / name
        if request.config.getoption("--write-snapshots"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"no snapshot {path}; {REWRITE}"
        assert text == path.read_text(encoding="utf-8"), REWRITE

    return compare
