"""Exports that are killed: `python killing_exports.py STORE PLACE FRACTION… < {layout: datasets}`.

Each is a process forked from this one, which has imported what it needs and used no tensorstore. It exports to
PLACE/LAYOUT/FRACTION, and kills itself at that fraction of the files that a whole export opens, renames, makes and
removes. Prints how many were killed of each layout.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

from em_assets import layouts, settings

TOUCHES = ("open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "shutil.rmtree")


def forked(run: Callable[[], None]) -> int:
    """Run in a forked process; its exit status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    status = 1
    try:
        run()
        status = 0
    finally:
        if status:
            traceback.print_exc()
        os._exit(status)


def on_touch(folders: tuple[str, ...], act: Callable[[int], None]) -> None:
    """Call `act` with the number of each touch from now on of what lies in these folders."""
    numbers = count(1)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in TOUCHES and str(arguments[0]).startswith(folders):
            act(next(numbers))

    sys.addaudithook(hook)


def touches_of(export: Callable[[str], None], where: str, drafts: str) -> int:
    """How often a whole export touches a file."""
    read_end, write_end = os.pipe()

    def whole() -> None:
        seen = [0]
        on_touch((where, drafts), lambda number: seen.__setitem__(0, number))
        export(where)
        os.write(write_end, str(seen[0]).encode())

    assert forked(whole) == 0
    return int(os.read(read_end, 20))


def killed(export: Callable[[str], None], where: str, drafts: str, at: int) -> bool:
    """Whether an export that kills itself at a touch came that far."""

    def dying() -> None:
        on_touch((where, drafts), lambda number: os.kill(os.getpid(), signal.SIGKILL) if number >= at else None)
        export(where)

    return forked(dying) == signal.SIGKILL


def main(store: str, where: str, *fractions: str) -> None:
    """Kill exports of each layout."""
    known = replace(settings.load(), store=Path(store), origin="sample")
    drafts, found = f"{store}/exports", {}
    for layout, names in json.load(sys.stdin).items():
        layouts.layout(layout)
        export = partial(_export, names, known, layout)
        total = touches_of(export, f"{where}/{layout}/whole", drafts)
        places = {fraction: max(1, round(float(fraction) * total)) for fraction in fractions}
        found[layout] = sum(killed(export, f"{where}/{layout}/{each}", drafts, at) for each, at in places.items())
    sys.stdout.write(json.dumps(found))


def _export(names: list[str], known: settings.Settings, layout: str, where: str) -> None:
    layouts.export(names, known, layout, settings.place(where))


if __name__ == "__main__":
    main(*sys.argv[1:])
