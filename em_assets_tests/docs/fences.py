"""The fenced blocks of README.md and docs/, and what the words behind a fence's language mean.

The words are few, and docs/documentation.md explains them to writers::

    ```sh                          run, with exit code 0
    ```sh exits=1                  run; its last line ends with this code
    ```sh run-by=FILE::TEST        that test runs it: it does not end by itself, or takes minutes
    ```python needs=torch          where that is absent, only its syntax is looked at (`NEEDS`)
    ```toml file=mine.toml         a file, which later blocks of the page find under that name
    ```text output                 what the block before it printed; ... stands for what is left out

A fence inside an HTML comment is run like any other and shown to nobody: what a page needs before it begins.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md")))

LANGUAGES = ("sh", "python", "sql", "toml", "json", "yaml", "diff", "text")

NEEDS: Mapping[str, str] = {
    "network": "a package index, an archive or a bucket that is not on this machine",
    "cluster": "SLURM, LSF, Dask or Kubernetes",
    "docker": "a container engine",
    "torch": "the extra [torch], which `make test-torch` has",
    "another-package": "a package that is none of our dependencies",
}
"""What a machine that runs the tests may lack."""

_COMMENT = re.compile(r"\A<!--\n(?P<inside>.*)^-->\s*\Z", re.MULTILINE | re.DOTALL)


class FenceError(ValueError):
    """A fence that says what nobody here understands; the message names page and line."""


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes
    ----------
    page, line
        Where its fence is, counted from 1.
    exits
        The exit code of its last line.
    run_by
        `FILE::TEST` of the test that runs it; None where it is run here.
    needs
        A key of `NEEDS`; None where it needs nothing.
    file
        Name under which it is kept in the page's folder; None where it is no file.
    is_output
        Whether it is what the block before it printed.
    """

    page: Path
    line: int
    language: str
    text: str
    exits: int = 0
    run_by: str | None = None
    needs: str | None = None
    file: str | None = None
    is_output: bool = False

    @property
    def is_run(self) -> bool:
        """Whether the commands or code in it are run here, where what it needs is there."""
        is_code = self.language in ("sh", "python", "sql") and self.file is None and not self.is_output
        return is_code and self.run_by is None and self.needs in (None, "torch")

    @property
    def place(self) -> str:
        """Page and line, for messages."""
        return f"{self.page}:{self.line}"


def blocks_of(page: Path, text: str | None = None) -> list[Block]:
    """The blocks of a page in their order.

    Raises
    ------
    FenceError
        A fence without a language, with one that is not in `LANGUAGES`, or with words that mean nothing.
    """
    return list(_blocks(page.relative_to(REPOSITORY), page.read_text() if text is None else text))


def _blocks(page: Path, text: str, first_line: int = 1) -> Iterator[Block]:
    for token in MarkdownIt("commonmark").parse(text):
        line = first_line + (token.map or [0])[0]
        hidden = _COMMENT.match(token.content) if token.type == "html_block" else None
        if token.type == "fence":
            yield _block(page, line, token.info.split(), token.content)
        elif token.type == "code_block":
            raise FenceError(f"{page}:{line}: a fence expected, found indented code: {token.content.splitlines()[0]}")
        elif hidden:
            yield from _blocks(page, hidden["inside"], line + 1)


def _block(page: Path, line: int, words: list[str], text: str) -> Block:
    place = f"{page}:{line}"
    if not words or words[0] not in LANGUAGES:
        raise FenceError(f"{place}: a language expected behind ```, one of {', '.join(LANGUAGES)}; found {words[:1]}")
    given: dict[str, str] = {}
    for word in words[1:]:
        name, _, value = word.partition("=")
        given[name] = value
    block = Block(
        page,
        line,
        words[0],
        text,
        exits=int(given.pop("exits", "0")),
        run_by=given.pop("run-by", None),
        needs=given.pop("needs", None),
        file=given.pop("file", None),
        is_output=given.pop("output", None) is not None,
    )
    if given:
        raise FenceError(f"{place}: exits=, run-by=, needs=, file= or output expected, found {', '.join(given)}")
    if block.needs is not None and block.needs not in NEEDS:
        raise FenceError(f"{place}: needs={block.needs}: one of {', '.join(NEEDS)} expected")
    return block
