"""`em-assets open` as its user meets it: links on stdout, served until somebody says to end."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from tissue import TISSUE, write_volume

Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Run]:
    """Arguments → `em-assets open …` at work on a store that holds one dataset."""
    folder = tmp_path / "store" / "volumes" / "epfl_hippocampus" / "em"
    write_volume(folder, TISSUE[:4, :60, :80], voxel_size_zyx_nm=(5.0, 5.0, 5.0))
    environment = {**os.environ, "EM_ASSETS_STORE": str(tmp_path / "store"), "EM_ASSETS_ORIGIN": "sample"}
    running: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> "subprocess.Popen[str]":
        command = [str(Path(sys.executable).with_name("em-assets")), "open", *arguments]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen(command, env=environment, cwd=tmp_path, **pipes))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()


def until_brace(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """The JSON document that it prints before it serves."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line == "}\n":
            break
    document: dict[str, Any] = json.loads("".join(lines))
    return document


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)], ids=["Ctrl-C", "SIGTERM"])
def test_it_serves_what_it_says_until_a_signal_comes(opened: Run, number: int, code: int) -> None:
    process = opened("epfl_hippocampus", "--json")
    document = until_brace(process)
    (layer,) = document["layers"]
    assert (document["dataset"], document["unit"], document["hosted_link"]) == ("epfl_hippocampus", "nm", None)
    assert (layer["volume"], layer["shape_zyx"], layer["voxel_size_zyx_nm"]) == ("em", [4, 60, 80], [5.0, 5.0, 5.0])
    assert "neuroglancer" in requests.get(document["link"], timeout=10).text
    assert requests.get(f"{layer['url'].split('://', 1)[1]}zarr.json", timeout=10).json()["zarr_format"] == 3
    events = document["link"].replace("/v/", "/events/").rstrip("/")
    with requests.get(events, {"c": "somebody", "gc": "", "gs": ""}, stream=True, timeout=10):  # a page that is open
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
    assert process.returncode == code
    assert "Traceback" not in said
    with pytest.raises(requests.ConnectionError):
        requests.get(document["link"], timeout=10)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("epfl_hipocampus",), "did you mean 'epfl_hippocampus'?"),
        (("epfl_hippocampus", "--volume", "raw"), "no volume 'raw'; there are: em"),
        (("hemibrain_ng",), "em-assets fetch hemibrain_ng"),
    ],
    ids=["unknown dataset", "unknown volume", "not fetched"],
)
def test_what_cannot_be_opened_is_said_in_one_line(opened: Run, arguments: tuple[str, ...], words: str) -> None:
    process = opened(*arguments)
    out, said = process.communicate(timeout=30)
    assert (process.returncode, out) == (2, "")
    assert words in said
    assert said.count("\n") == 1


def test_people_read_where_to_look_and_how_it_ends(opened: Run) -> None:
    process = opened("epfl_hippocampus")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(7)]
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    text = "".join(lines)
    assert "http://127.0.0.1:" in text
    assert "napari --plugin napari-ome-zarr" in text
    assert "4 × 60 × 80" in text
    assert "Ctrl-C ends it" in said


def test_a_port_can_be_chosen(opened: Run) -> None:
    """One tunnel from another machine needs a number that is known before."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    document = until_brace(opened("epfl_hippocampus", "--json", "--port", str(port)))
    assert document["link"].startswith(f"http://127.0.0.1:{port}/v/")
    assert document["layers"][0]["url"].startswith(f"zarr3://http://127.0.0.1:{port}/volumes/")
