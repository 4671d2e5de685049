"""Runs the blocks of one page in their order, as a reader types them, in a folder of its own."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import tempfile
import tomllib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner
from fences import REPOSITORY, Block
from sharing import commands_path

from em_assets.cli import main
from em_assets.datasets import read_toml
from em_assets.sources.manifest import read_lock

SECONDS = 120
"""A block that takes longer is ended, and fails."""

CHECKOUT = ("em_assets", "em_assets_tests/layouts", "pyproject.toml")
"""What a page that adds a module finds in its folder: the project's own files, to be changed."""


class BlockError(AssertionError):
    """A block that does not do what its page says; the message names page and line."""


class Reader:
    """Somebody who reads a page and does what it says.

    Attributes
    ----------
    folder
        Where it is done; the shell's blocks may leave it by `cd`.
    environment
        As the shell's blocks leave it.
    """

    def __init__(self, folder: Path, have: frozenset[str] = frozenset()) -> None:
        self.folder = self._cwd = folder
        self._have = have
        self.environment = _shell_of_a_user(folder)
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._printed = ""

    def read(self, blocks: list[Block]) -> int:
        """Do what all blocks say; how many of them were looked at only, since they need what is not there.

        Raises
        ------
        BlockError
            At the first that does not do what it says.
        """
        if any((block.file or "").startswith("em_assets/") for block in blocks):
            self._take_the_checkout()
        return sum(self._do(block) for block in blocks)

    def _do(self, block: Block) -> bool:
        """Whether it was looked at only."""
        try:
            if block.is_output:
                _compare(self._printed, block.text)
            elif block.run_by is not None:
                _find_test(block.run_by)
            elif block.needs is not None and block.needs not in self._have:
                _look_at(block)
                return True
            elif block.file is not None:
                _look_at(block)
                self._keep(block)
            else:
                self._run(block)
        except BlockError as error:
            raise BlockError(f"{block.place}: {error}") from None
        except Exception as error:
            raise BlockError(f"{block.place}: {type(error).__name__}: {error}") from error
        return False

    def _run(self, block: Block) -> None:
        if block.language == "sh":
            self._shell(block)
        elif block.language == "python":
            self._printed = self._python(block)
        elif block.language == "sql":
            self._printed = self._sql(block.text)
        elif block.language == "diff":
            _apply(block.text, self._cwd)
        else:
            _look_at(block)

    def _keep(self, block: Block) -> None:
        path = self._cwd / str(block.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)

    def _shell(self, block: Block) -> None:
        """Each line in its turn, until one fails; what is exported, and the folder, are there in the next block."""
        kept = self.folder / ".environment"
        script = f"trap 'env -0 > {kept}; pwd >> {kept}' EXIT\nset -eo pipefail\n{block.text}"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self._cwd,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if done.returncode != block.exits:
            raise BlockError(
                f"exit code {block.exits} expected, found {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
            )
        *variables, cwd = kept.read_text().split("\0")
        self._cwd = Path(cwd.strip())
        self.environment = dict(variable.split("=", 1) for variable in variables)
        self._printed = done.stdout

    def _python(self, block: Block) -> str:
        with self._being_there(), contextlib.redirect_stdout(io.StringIO()) as printed, warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of other people's packages, as in any interpreter
            exec(compile(block.text, block.place, "exec"), self._names)
        return printed.getvalue()

    def _sql(self, statements: str) -> str:
        printed = ""
        with self._being_there():
            for statement in filter(None, map(str.strip, re.sub(r"--.*", "", statements).split(";"))):
                done = CliRunner().invoke(main, ["query", statement])
                if done.exit_code:
                    raise BlockError(f"exit code 0 expected, found {done.exit_code}: {statement}\n{done.output}")
                printed = done.stdout
        return printed

    @contextlib.contextmanager
    def _being_there(self) -> Iterator[None]:
        """Brings this process into the folder and the environment that the shell's blocks have come to."""
        before, there = dict(os.environ), self.environment
        os.environ.clear()
        os.environ.update(there)
        try:
            with contextlib.chdir(self._cwd):
                yield
        finally:
            os.environ.clear()
            os.environ.update(before)

    def _take_the_checkout(self) -> None:
        for name in CHECKOUT:
            source, copy = REPOSITORY / name, self.folder / name
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy)
        self.environment["PYTHONPATH"] = str(self.folder)


def _shell_of_a_user(folder: Path) -> dict[str, str]:
    """The environment of somebody who activated the virtual environment and chose the sample origin."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("EM_ASSETS_", "DAGSTER", "AWS_"))}
    home = folder / ".home"
    home.mkdir(parents=True, exist_ok=True)
    return kept | {
        "PATH": commands_path(),
        "HOME": str(home),
        "EM_ASSETS_ORIGIN": "sample",
        "PWD": str(folder),
    }


def _look_at(block: Block) -> None:
    """Whether a block is well formed, as far as that can be seen without running it."""
    if block.language == "sh":
        done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            raise BlockError(done.stderr)
    elif block.language == "python":
        compile(block.text, block.place, "exec")
    elif block.language == "json":
        json.loads(block.text)
    elif block.language == "yaml":
        _look_at_yaml(block.text)
    elif block.language == "toml":
        _look_at_toml(block)


def _look_at_yaml(text: str) -> None:
    """As Kubernetes takes it where it says that it is for Kubernetes; any other is a mapping."""
    for document in yaml.safe_load_all(text):
        if not isinstance(document, Mapping):
            raise BlockError(f"a mapping expected, found {document!r}")
        if "apiVersion" in document and not {"kind", "metadata"} <= set(document):
            raise BlockError(f"kind and metadata expected beside apiVersion, found {', '.join(document)}")


def _look_at_toml(block: Block) -> None:
    """As a dataset where it has a source, as a lock file where it has files; a dataset's title may be left out."""
    keys = tomllib.loads(block.text)
    with tempfile.TemporaryDirectory() as folder:
        if "source" in keys:
            path = Path(folder) / (Path(block.file).name if block.file else "a_part.toml")
            path.write_text(block.text if "title" in keys else f'title = "A part"\n{block.text}')
            read_toml(path)
        elif "file" in keys:
            (Path(folder) / "lock.toml").write_text(block.text)
            read_lock(Path(folder))


def _apply(diff: str, folder: Path) -> None:
    """Change the file behind `+++` as a diff says; its lines must be there once, and need no numbers."""
    (name,) = re.findall(r"^\+\+\+ (\S+)$", diff, re.MULTILINE)
    path = folder / name.removeprefix("b/")
    for hunk in re.split(r"^@@.*\n", diff, flags=re.MULTILINE)[1:]:
        lines = hunk.splitlines()
        before = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "+")
        after = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "-")
        text = path.read_text()
        if text.count(before) != 1:
            raise BlockError(f"{name}: expected once, found {text.count(before)} times:\n{before}")
        path.write_text(text.replace(before, after))


def _compare(printed: str, expected: str) -> None:
    """Whether that was printed; `...` stands for anything, and how wide a gap between words is does not matter."""
    pieces = re.split(r"\.\.\.|…", expected)
    pattern = ".*?".join(r"\s+".join(map(re.escape, piece.split())) for piece in pieces)
    if not re.fullmatch(rf"\s*{pattern}\s*".replace(".*?", r"\s*.*?\s*"), printed, re.DOTALL):
        raise BlockError(f"expected to be printed:\n{expected}\nfound:\n{printed}")


def _find_test(name: str) -> None:
    """A test of that name is there, for a block that it runs instead."""
    file, _, test = name.partition("::")
    path = REPOSITORY / file
    if not path.is_file():
        raise BlockError(f"run-by={name}: no such file")
    if not re.search(rf"^\s*def {re.escape(test)}\(", path.read_text(), re.MULTILINE):
        raise BlockError(f"run-by={name}: FILE::TEST expected, found no such test in {file}")
