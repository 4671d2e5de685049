"""The command that shows volumes."""

import signal
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING, Any

import click

from em_assets.cli.completing import dataset_names, held_volumes
from em_assets.cli.endings import EXIT_INTERRUPTED, errors_in_words
from em_assets.cli.options import as_json, examples
from em_assets.terminal import cell, print_json, show_rows, voxel_size

if TYPE_CHECKING:
    from em_assets.viewing import Scene, Served


@click.command(
    "open",
    short_help="Show a volume in neuroglancer; print its link.",
    epilog=examples(
        "em-assets open cryoet_10001",
        "em-assets open u2os_chromatin --volume xy --browser",
        "em-assets open cryoet_10001 --port 8300   # and elsewhere: ssh -L 8300:127.0.0.1:8300 this-machine",
    ),
)
@click.argument("dataset", shell_complete=dataset_names)
@click.option(
    "--volume",
    metavar="VOLUME",
    shell_complete=held_volumes,
    help="Which one, where there are several; labels come over their image.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Serve at this port; any free one by default.")
@click.option("--browser/--no-browser", default=False, show_default=True, help="Open the link in a browser as well.")
@as_json
@errors_in_words
def open_dataset(dataset: str, volume: str | None, port: int, browser: bool, is_json: bool) -> None:
    """Show a committed volume of DATASET in neuroglancer, served on this machine alone, until Ctrl-C.

    Prints the link, and the command that opens the same in napari; for public data that a browser can read also the
    link to the archive's own copy.
    """
    from em_assets import datasets, settings
    from em_assets.viewing import hosted_link, scene_of, serving

    known = settings.load()
    described = datasets.get(dataset, known)
    scene = scene_of(described.name, volume, known)
    with _until_told() as told, serving(scene, port, say=_say) as served:
        document = _document(scene, served, hosted_link(described, scene, known))
        if is_json:
            print_json(document)
        else:
            _show(document)
        sys.stdout.flush()
        if browser:
            webbrowser.open(served.link)
        told.wait()
    sys.exit(told.code)


class _Told:
    """Whether somebody said to end, and the exit code that this makes."""

    def __init__(self) -> None:
        self._event = Event()
        self.code = 0

    def end(self, number: int, _frame: object) -> None:
        """Take a signal: Ctrl-C counts as an interruption, SIGTERM as the ordinary end of a server."""
        self.code = EXIT_INTERRUPTED if number == signal.SIGINT else 0
        self._event.set()

    def wait(self) -> None:
        """Until a signal comes."""
        self._event.wait()


@contextmanager
def _until_told() -> Iterator[_Told]:
    told = _Told()
    before = {number: signal.signal(number, told.end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _document(scene: "Scene", served: "Served", hosted_link: str | None) -> dict[str, Any]:
    return {
        "dataset": scene.dataset,
        "link": served.link,
        "hosted_link": hosted_link,
        "napari": scene.napari_command,
        "unit": scene.unit,
        "remarks": list(scene.remarks),
        "layers": [
            {
                "volume": layer.name,
                "kind": layer.kind,
                "generation": layer.committed.commit.generation,
                "shape_zyx": layer.committed.commit.shape_zyx,
                "voxel_size_zyx_nm": layer.voxel_size_zyx_nm,
                "dtype": layer.committed.commit.dtype,
                "levels": layer.committed.commit.n_levels,
                "black_and_white": layer.contrast and [layer.contrast.black, layer.contrast.white],
                "url": served.urls[layer.name],
            }
            for layer in scene.layers
        ],
    }


def _show(document: dict[str, Any]) -> None:
    show_rows([_row(layer) for layer in document["layers"]], title=document["dataset"])
    links = {"neuroglancer": document["link"], "hosted": document["hosted_link"], "napari": document["napari"]}
    width = max(map(len, links))
    for name, link in links.items():
        if link:
            click.echo(f"{name.ljust(width)}  {link}")
    for remark in document["remarks"]:
        _say(remark)
    _say("Serving on this machine alone; Ctrl-C ends it.")


def _row(layer: dict[str, Any]) -> dict[str, object]:
    """A layer as people read it."""
    contrast = layer["black_and_white"]
    return {key: layer[key] for key in ("volume", "kind")} | {
        "voxels (z × y × x)": layer["shape_zyx"],
        "voxel size (z × y × x)": voxel_size(layer["voxel_size_zyx_nm"]),
        "dtype": layer["dtype"],
        "levels": layer["levels"],
        "from black to white": f"{cell(contrast[0])} to {cell(contrast[1])}" if contrast else None,
    }


def _say(line: str) -> None:
    click.echo(line, err=True)
