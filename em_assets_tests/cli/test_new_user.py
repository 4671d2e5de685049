"""Who installs with pip: init, add, fetch, query, open in an environment of its own; and what each command's JSON is.

The environment has the package as `pip install .` puts it there, from a copy of the source; what it depends on is that
of the tests, so that nothing is downloaded.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import pytest
from click.testing import CliRunner
from comparing import as_snapshot

from em_assets.cli import COMMANDS, main

REPOSITORY = Path(__file__).resolve().parents[2]
_BUILT = shutil.ignore_patterns("__pycache__")


class User(NamedTuple):
    """A user's project, the shell that they work in, and what each command printed, by its name."""

    folder: Path
    environment: dict[str, str]
    printed: dict[str, str]

    def types(self, command: str) -> subprocess.CompletedProcess[str]:
        """Type a line in a shell in the project, where `.env` was sourced."""
        return subprocess.run(
            ["bash", "-e", "-c", f"source .env\n{command}"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the package installed, and nothing of the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    shutil.copytree(REPOSITORY / "em_assets", folder / "source" / "em_assets", ignore=_BUILT)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, folder / "source" / name)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True, timeout=60)
    (packages,) = (folder / "env" / "lib").glob("python*/site-packages")
    shared = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    (packages / "dependencies.pth").write_text(shared)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "env/bin/python"), "--disable-pip-version-check"]
    offline = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", str(folder / "source")]
    subprocess.run([*pip, *offline], check=True, capture_output=True, timeout=120)
    return folder / "env"


@pytest.fixture(scope="module")
def user(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> User:
    """A user who has made a project and fetched a dataset of their own, from the look-alikes."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("EM_ASSETS_", "DAGSTER", "PYTHON"))}
    variables = kept | {"PATH": f"{environment / 'bin'}{os.pathsep}{kept['PATH']}", "EM_ASSETS_ORIGIN": "sample"}
    parent = tmp_path_factory.mktemp("user")
    made = subprocess.run(
        ["em-assets", "init", "em", "--json"],
        cwd=parent,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    user = User(parent / "em", variables, {"init": made.stdout})
    for name, command in STEPS.items():
        done = user.types(command)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-3000:]}"
        user.printed[name] = done.stdout
    return user


STEPS = {
    "add": "em-assets add EMPIAR-11759 --name retina --json",
    "fetch": "em-assets fetch retina --json",
    "query": 'em-assets query "SELECT dataset, volume, voxel_size_z_nm AS z_nm, technique FROM volumes" --json',
}


def test_the_commands_are_those_of_the_installed_package(user: User, environment: Path) -> None:
    found = user.types("command -v em-assets; python -c 'import em_assets; print(em_assets.__file__)'").stdout.split()
    assert [Path(path).is_relative_to(environment) for path in found] == [True, True]


def test_what_was_added_is_fetched_proved_and_in_the_catalog(user: User) -> None:
    added, fetched = json.loads(user.printed["add"]), json.loads(user.printed["fetch"])
    assert Path(added["path"]) == user.folder / "datasets" / "retina.toml"
    assert added["unknown"] == ["organism", "sample", "licence"]
    (run,) = fetched["runs"]
    assert (run["is_failed"], run["fetched_files"]) == (False, 19)
    assert json.loads(user.printed["query"]) == [
        {"dataset": "retina", "volume": "em", "z_nm": 50.0, "technique": "SBF-SEM"}
    ]


def test_everything_is_kept_below_the_project(user: User) -> None:
    kept = {path.name for path in user.folder.iterdir()}
    assert {"store", "storage", "datasets"} <= kept
    ignored = (user.folder / ".gitignore").read_text()
    tracked = {"dagster.yaml", "workspace.yaml", "datasets", "README.md", ".gitignore"}
    assert {name for name in kept - tracked if f"/{name}/" not in ignored and f"/{name}\n" not in ignored} <= {
        ".dagster_home.lock"
    }


def test_open_gives_a_link_that_answers_until_ctrl_c(user: User, compared: Callable[[str, str], None]) -> None:
    command = "source .env; exec em-assets open retina --json"
    with subprocess.Popen(
        ["bash", "-c", command], cwd=user.folder, env=user.environment, stdout=subprocess.PIPE, text=True
    ) as opened:
        assert opened.stdout is not None
        lines = []
        for line in opened.stdout:
            lines.append(line)
            if line == "}\n":
                break
        document = json.loads("".join(lines))
        with urlopen(document["link"].partition("#")[0], timeout=30) as answer:
            assert answer.status == 200
        opened.send_signal(signal.SIGINT)
        assert opened.wait(timeout=30) == 130
    compared("json_open.txt", as_snapshot("".join(lines), {"PROJECT": user.folder}))


def test_dagster_reads_the_projects_settings_by_itself(user: User) -> None:
    """`dagster` in the folder needs no `source .env`."""
    done = subprocess.run(
        ["python", "-m", "dagster", "instance", "info"],
        cwd=user.folder,
        env=user.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"$DAGSTER_HOME: {user.folder}" in done.stdout


JSON = {
    "list": ["list"],
    "show": ["show", "retina"],
    "plan": ["plan", "retina"],
    "validate": ["validate", "retina"],
    "gc": ["gc", "retina"],
    "catalog": ["catalog"],
    "tags": ["tags", "PROJECT/store/raw/retina/files/F57-8_test1_3VBSED_slice_0000.dm3"],
    "conflicts": ["conflicts", "retina"],
    "audit": ["audit", "PROJECT/claims.json"],
    "ingest": ["ingest", "TIFF", "PROJECT/ingested.zarr"],
    "export": ["export", "retina", "--layout", "citation", "--to", "PROJECT/exported"],
    "import": ["import", "PROJECT/tree/1", "--layout", "cryoet", "--name", "theirs", "--to", "PROJECT/imported"],
    "completion": ["completion", "fish"],
}
"""Of the commands that the user above has not typed: what is typed of each for its snapshot."""


def printed_json(user: User, arguments: list[str], small_tiff: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the checkout's own command prints over the user's store, which is quicker than a process each."""
    for name, value in {
        "EM_ASSETS_STORE": user.folder / "store",
        "EM_ASSETS_DATASETS": user.folder / "datasets",
        "EM_ASSETS_ORIGIN": "sample",
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    typed = [one.replace("PROJECT", str(user.folder)).replace("TIFF", str(small_tiff)) for one in arguments]
    return CliRunner().invoke(main, [*typed, "--json"], catch_exceptions=False)


@pytest.mark.parametrize("name", JSON)
def test_a_commands_json_is_as_it_was(
    name: str, user: User, small_tiff: Path, monkeypatch: pytest.MonkeyPatch, compared: Callable[[str, str], None]
) -> None:
    (user.folder / "claims.json").write_text('[{"dataset": "retina", "field": "technique", "value": "TEM"}]')
    if name == "import":
        exported = ["export", "retina", "--layout", "cryoet", "--resample-isotropic", "--to", "PROJECT/tree"]
        assert printed_json(user, exported, small_tiff, monkeypatch).exit_code == 0
    done = printed_json(user, JSON[name], small_tiff, monkeypatch)
    assert done.exit_code == 0, done.stderr
    folders = {"PROJECT": user.folder, "FILES": small_tiff.parent}
    compared(f"json_{name}.txt", as_snapshot(done.stdout, folders))


@pytest.mark.parametrize("name", ["init", "add", "fetch", "query"])
def test_the_json_that_the_user_saw_is_as_it_was(name: str, user: User, compared: Callable[[str, str], None]) -> None:
    compared(f"json_{name}.txt", as_snapshot(user.printed[name], {"PROJECT": user.folder}))


def test_what_doctor_looks_at_is_as_it_was(user: User, compared: Callable[[str, str], None]) -> None:
    """What it finds is this machine's, down to the archives that answer from here: only the questions are compared."""
    done = user.types("em-assets doctor --json || [ $? -ne 2 ]")
    findings = json.loads(done.stdout)
    assert {finding["state"] for finding in findings if finding["area"] == "store"} == {"ok"}
    asked = sorted(
        {(finding["area"], "…" if finding["area"] == "archives" else finding["what"]) for finding in findings}
    )
    keys = sorted({key for finding in findings for key in finding})
    compared("json_doctor.txt", as_snapshot(json.dumps({"keys": ", ".join(keys), "asked": dict_of(asked)}), {}))


def dict_of(asked: list[tuple[str, str]]) -> dict[str, str]:
    """Area → what is looked at there."""
    return {area: ", ".join(what for of, what in asked if of == area) for area, _ in asked}


def test_every_commands_json_is_compared() -> None:
    elsewhere = {"open", "doctor"}  # which need more than a line, above
    assert {str(command.name) for command in COMMANDS} == {*JSON, "init", *STEPS, *elsewhere}
