"""A file without a name: nothing of it is seen until it is whole, and nothing is left where it gets no further."""

import errno
import os
import tempfile
from pathlib import Path

import pytest

from em_assets.sources import unnamed
from em_assets.volumes import direct

NOISE = os.urandom(300_001)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder on a file system that has such files."""
    try:
        os.close(os.open(tmp_path, os.O_WRONLY | os.O_TMPFILE))
    except (AttributeError, OSError):
        pytest.skip("the file system of temporary files has no unnamed ones")
    return tmp_path


def written(folder: Path, size_bytes: int) -> int:
    block = direct.aligned(1 << 20)
    block[: len(NOISE)] = NOISE
    descriptor = unnamed.written(str(folder), block, size_bytes)
    assert descriptor is not None
    return descriptor


@pytest.mark.parametrize("size_bytes", [0, 1, direct.LEAST_BYTES, 270_001])
def test_it_is_there_with_its_name_and_not_before(folder: Path, size_bytes: int) -> None:
    descriptor = written(folder, size_bytes)
    assert not list(folder.iterdir())
    assert unnamed.named(descriptor, str(folder / "x"))
    os.close(descriptor)
    assert (folder / "x").read_bytes() == NOISE[:size_bytes]
    (folder / "usual").touch()
    assert (folder / "x").stat().st_mode == (folder / "usual").stat().st_mode


def test_what_is_closed_without_a_name_is_gone(folder: Path) -> None:
    os.close(written(folder, 270_001))
    assert not list(folder.iterdir())


def test_a_name_in_use_keeps_its_bytes(folder: Path) -> None:
    (folder / "x").write_bytes(b"before")
    descriptor = written(folder, 270_001)
    with pytest.raises(FileExistsError):
        unnamed.named(descriptor, str(folder / "x"))
    os.close(descriptor)
    assert (folder / "x").read_bytes() == b"before"


def test_another_file_system_takes_no_name(folder: Path) -> None:
    """As a system without /proc, or a policy, would say: whoever asks has another way."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        if Path(other).stat().st_dev == folder.stat().st_dev:
            pytest.skip("one file system only")
        descriptor = written(folder, 1)
        assert not unnamed.named(descriptor, f"{other}/x")
        os.close(descriptor)


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK, errno.EINVAL])
def test_a_link_that_is_refused_is_no_error(folder: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """By AppArmor, by FUSE, by a file system that knows no links: a disk that is full says something else."""

    def refuse(*args: object, **how: object) -> None:
        raise OSError(code, os.strerror(code))

    descriptor = written(folder, 1)
    monkeypatch.setattr(os, "link", refuse)
    assert not unnamed.named(descriptor, str(folder / "x"))
    code = errno.ENOSPC
    with pytest.raises(OSError, match="No space"):
        unnamed.named(descriptor, str(folder / "x"))
    os.close(descriptor)


def test_a_file_system_without_them_is_no_error() -> None:
    assert unnamed.written("/sys", direct.aligned(4096), 1) is None


def test_a_folder_that_is_not_there_is_an_error(folder: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        unnamed.written(str(folder / "x"), direct.aligned(4096), 1)
    assert raised.value.errno == errno.ENOENT
