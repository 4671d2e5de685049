from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import tifffile

from em_assets.errors import FormatError, SourceMissingError, SourceUnreachableError, UsageError
from em_assets.formats import tiff
from em_assets.formats.binary import binary_from_bytes, open_binary, read_box, read_rows


class RangeHandler(SimpleHTTPRequestHandler):
    """Serves parts of files, as archives do."""

    def log_message(self, format: str, *args: object) -> None:
        pass

    def send_head(self):
        path = Path(self.translate_path(self.path))
        spec = self.headers.get("Range")
        if spec is None or not path.is_file():
            return super().send_head()
        first, last = spec.removeprefix("bytes=").split("-")
        data = path.read_bytes()
        start, stop = int(first), min(int(last or len(data) - 1) + 1, len(data))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[start:stop])
        return None


@pytest.fixture
def ranges(tmp_path: Path) -> Iterator[str]:
    with serving(tmp_path) as url:
        yield url


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(RangeHandler, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_file_behind_a_url_is_read_in_parts(tmp_path: Path, ranges: str) -> None:
    array = np.arange(3 * 40 * 50, dtype=np.uint16).reshape(3, 40, 50)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", metadata=None)
    tifffile.imwrite(tmp_path / "b.tif", array, photometric="minisblack", metadata=None, compression="zlib")
    for name in ("a", "b"):
        (volume,) = tiff.open_volumes([f"{ranges}/{name}.tif"])
        assert volume.name == name
        assert np.array_equal(volume.read((1, 2, 3), (2, 30, 4)), array[1:, 2:32, 3:7])


def test_a_url_without_a_file_says_so(tmp_path: Path, ranges: str, serve: Callable[[Path], str]) -> None:
    with pytest.raises(SourceMissingError, match="no such file"):
        open_binary(f"{ranges}/none.tif")
    (tmp_path / "a.tif").write_bytes(bytes(1000))
    with pytest.raises(SourceUnreachableError), open_binary(f"{serve(tmp_path)}/a.tif") as file:
        file.read(10, 5, "bytes from a server that knows no ranges")


def test_a_read_beyond_the_end_names_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(10))
    with (
        open_binary(str(path)) as file,
        pytest.raises(FormatError, match=r"a\.bin: a header expected in 4 bytes from byte 8"),
    ):
        file.read(8, 4, "a header")
    with pytest.raises(UsageError, match="found a folder"):
        open_binary(str(tmp_path))


@pytest.mark.parametrize("columns", [(0, 3000), (5, 2000), (2990, 2)], ids=["whole rows", "cut rows", "row by row"])
def test_rows_are_the_same_however_they_are_read(columns: tuple[int, int]) -> None:
    array = np.arange(400 * 3000, dtype=">u4").reshape(400, 3000)
    with binary_from_bytes("memory", array.tobytes()) as file:
        rows = read_rows(file, 0, array.dtype, array.shape, columns, "rows")
        box = read_box(file, 0, array.dtype, (20, 20, 3000), (3, 4, columns[0]), (2, 5, columns[1]))
    start, count = columns
    assert np.array_equal(rows, array[:, start : start + count])
    assert np.array_equal(box, array.reshape(20, 20, 3000)[3:5, 4:9, start : start + count])
    assert box.dtype.isnative
