"""What a fence says is understood or refused, and a block that does not hold is found."""

from pathlib import Path

import pytest
from fences import NEEDS, REPOSITORY, FenceError, blocks_of
from running_pages import BlockError, Reader

PAGE = REPOSITORY / "docs" / "a_page.md"


def read(text: str, folder: Path) -> int:
    return Reader(folder).read(blocks_of(PAGE, text))


def fence(info: str, *lines: str) -> str:
    return "\n".join([f"```{info}", *lines, "```", ""])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (fence("", "ls"), "a_page.md:1: a language expected"),
        (fence("fortran", "END"), "a language expected"),
        (fence("sh skip", "ls"), "found skip"),
        (fence("sh needs=luck", "ls"), "needs=luck"),
        ("Type\n\n    ls -l\n", "a_page.md:3: a fence expected, found indented code: ls -l"),
    ],
    ids=["no language", "another language", "an unknown word", "an unknown need", "indented code"],
)
def test_a_fence_that_means_nothing_is_refused(text: str, said: str) -> None:
    with pytest.raises(FenceError, match=said):
        blocks_of(PAGE, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (fence("sh", "false", "true"), "a_page.md:1: exit code 0 expected, found 1"),
        (fence("sh exits=2", "true"), "exit code 2 expected, found 0"),
        (fence("sh", "false | true"), "exit code 0 expected, found 1"),
        (fence("python", "1 / 0"), "ZeroDivisionError"),
        (fence("sql", "SELECT 1;"), "exit code 0 expected"),
        (fence("json", "{"), "JSONDecodeError"),
        (fence("yaml", "- a"), "a mapping expected"),
        (fence("toml", 'title = "A"', "[source]", 'url = "a.tif"', "seeed = 1"), "seeed"),
        (fence("toml", "a ="), "TOMLDecodeError"),
        (fence("sh needs=docker", "if"), "syntax error"),
        (fence("python needs=torch", "for"), "SyntaxError"),
        (fence("sh run-by=em_assets_tests/docs/test_fences.py::test_of_nobody", "ls"), "found no such test"),
        (fence("sh run-by=nowhere.py::test_it", "ls"), "no such file"),
        (fence("text file=a.txt", "a") + fence("diff", "+++ a.txt", "@@", "-b", "+c"), "expected once, found 0 times"),
        (fence("sh", "echo one") + fence("text output", "two"), "a_page.md:4: expected to be printed"),
        (fence("sh", "echo one two") + fence("text output", "... one"), "expected to be printed"),
    ],
)
def test_a_block_that_does_not_hold_is_named(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(BlockError, match=said):
        read(text, tmp_path)


def test_blocks_follow_each_other_as_a_reader_does(tmp_path: Path) -> None:
    text = (
        fence("sh", "export NAME=somewhere", "mkdir $NAME", "cd $NAME")
        + fence("text file=a.txt", "one", "two")
        + fence("diff", "--- a.txt", "+++ a.txt", "@@", " one", "-two", "+three")
        + fence("python", "from pathlib import Path", "words = Path('a.txt').read_text().split()")
        + fence("python", "import os", "print(*words, os.environ['NAME'])")
        + fence("text output", "one ... somewhere")
        + fence("sh exits=1", "echo $NAME", "false")
        + fence("text output", "somewhere")
    )
    assert read(text, tmp_path) == 0
    assert (tmp_path / "somewhere" / "a.txt").read_text() == "one\nthree\n"


def test_what_stands_in_a_comment_is_run_too(tmp_path: Path) -> None:
    assert read("Words.\n\n<!--\n" + fence("sh", "touch ready") + "-->\n\n" + fence("sh", "ls ready"), tmp_path) == 0


def test_what_is_only_looked_at_is_counted(tmp_path: Path) -> None:
    text = "".join(fence(f"sh needs={need}", "sbatch job.sh") for need in NEEDS)
    assert read(text, tmp_path) == len(NEEDS)
