"""Bytes, rate and time left: drawn where somebody watches, said in lines where nobody does."""

from threading import Lock

import pytest

from em_assets.sources.progress import Progress, watched_by


class Watcher:
    """Keeps what it was shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []
        self._lock = Lock()

    def began(self, progress: Progress) -> None:
        self.seen.append(("began", progress.done_bytes))

    def moved(self, progress: Progress) -> None:
        with self._lock:
            self.seen.append(("moved", progress.done_bytes))

    def ended(self, progress: Progress) -> None:
        self.seen.append(("ended", progress.done_bytes))


def transfer(log: list[str]) -> Progress:
    return Progress("https://a.org/d/", log.append, n_files=2, total_bytes=1000)


def test_a_log_has_a_line_for_each_tenth() -> None:
    said: list[str] = []
    progress = transfer(said)
    with progress.shown():
        for _ in range(100):
            progress.add_bytes(10)
    assert len(said) == 9
    assert said[0] == "0 of 2 files, 0.0 MB of 0.0 MB"


def test_a_line_tells_the_rate_and_the_time_left() -> None:
    said: list[str] = []
    progress = Progress("x", said.append, n_files=4, total_bytes=400_000_000, done_files=1)
    progress._began_at -= 100
    progress.add_bytes(100_000_000)
    assert said == ["1 of 4 files, 100.0 MB of 400.0 MB, 1.0 MB/s, 5 min 0 s left"]


def test_whoever_watches_is_shown_every_step_and_the_log_is_left_alone() -> None:
    said: list[str] = []
    watcher, progress = Watcher(), transfer(said)
    with watched_by(watcher), progress.shown():
        progress.add_bytes(600)
        progress.add_bytes(400)
    assert watcher.seen == [("began", 0), ("moved", 600), ("moved", 1000), ("ended", 1000)]
    assert said == []


def test_a_transfer_that_fails_is_no_longer_shown() -> None:
    watcher, progress = Watcher(), transfer([])
    with watched_by(watcher), pytest.raises(ValueError, match="full"), progress.shown():
        raise ValueError("full")
    assert watcher.seen[-1] == ("ended", 0)


def test_a_terminal_draws_a_bar_with_bytes_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    import io
    import sys

    from em_assets.fetching import transfers_shown

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    progress = Progress("https://me:hunter2@a.org/d/", str, n_files=2, total_bytes=1_000_000)
    with transfers_shown(), progress.shown():
        progress.add_bytes(500_000)
        progress.add_files(1)
    drawn = terminal.getvalue()
    assert "https://***@a.org/d/, 1 of 2 files" in drawn
    assert "0.5/1.0 MB" in drawn
    assert "hunter2" not in drawn
