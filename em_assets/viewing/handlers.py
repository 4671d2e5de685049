"""The files of committed volumes as tornado answers for them: whole or in ranges, and an error for what was lost.

Imported where something is served, and no earlier: tornado comes with neuroglancer.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field

from tornado.web import RequestHandler

from em_assets.errors import EMAssetsError
from em_assets.viewing.files import CommittedFiles

_METADATA = (".zarray", ".zattrs", ".zgroup", "zarr.json")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True)
class ServedFiles:
    """Those of each volume, by its name; `executor` reads them, and `say` is told of each problem once."""

    of_volume: Mapping[str, CommittedFiles]
    executor: Executor
    say: Callable[[str], object]
    _said: set[str] = field(default_factory=set)

    def tell(self, problem: str) -> None:
        """Say it, unless it was said before."""
        if problem not in self._said:
            self._said.add(problem)
            self.say(problem)


class VolumeFile(RequestHandler):
    """One file of a committed generation, or a range of it."""

    def initialize(self, served: ServedFiles) -> None:
        """As tornado makes one for each request, with what its route says."""
        self.served = served

    async def get(self, volume: str, key: str) -> None:
        """The bytes that are asked for."""
        await self._answer(volume, key)

    async def head(self, volume: str, key: str) -> None:
        """Their number, and nothing of them."""
        await self._answer(volume, key, is_head=True)

    async def _answer(self, volume: str, key: str, *, is_head: bool = False) -> None:
        files, executor = self.served.of_volume.get(volume), self.served.executor
        if files is None:
            self._absent(key)
            return
        loop = asyncio.get_running_loop()
        try:
            size = await loop.run_in_executor(executor, files.size_bytes, key)
            if size is None:
                self._absent(key)
                return
            start, stop = self._asked(size)
            if start < stop and not is_head:
                self.write(await loop.run_in_executor(executor, files.read, key, start, stop - start))
            elif is_head:
                self.set_header("Content-Length", str(stop - start))
        except EMAssetsError as error:
            # 404 would be empty space to the client: what was lost must not look like that.
            self.clear()
            self.set_status(500, "Lost")
            self.served.tell(str(error))

    def _asked(self, size: int) -> tuple[int, int]:
        """First byte and the one behind the last; the answer's status and headers say the same."""
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Accept-Ranges", "bytes")
        found = _RANGE.fullmatch(self.request.headers.get("Range", ""))
        if found is None or found[1] == found[2] == "":
            return 0, size
        start = int(found[1]) if found[1] else max(size - int(found[2]), 0)
        stop = min(int(found[2]) + 1, size) if found[1] and found[2] else size
        if start >= stop:
            self.set_status(416)
            self.set_header("Content-Range", f"bytes */{size}")
            return 0, 0
        self.set_status(206)
        self.set_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        return start, stop

    def _absent(self, key: str) -> None:
        """The client asks for metadata that may not be there, and a browser writes each 404 on its console.

        To the client a redirection to a folder of that name means the same.
        """
        if key.endswith("/"):
            return
        if key.rpartition("/")[2] in _METADATA:
            self.redirect(f"{self.request.path}/")
        else:
            self.set_status(404)


class NoIcon(RequestHandler):
    """A browser asks for an icon unasked, and writes on its console that there is none."""

    def get(self) -> None:
        """Nothing, and no error."""
        self.set_status(204)
