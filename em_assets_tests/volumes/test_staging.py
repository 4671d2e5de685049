"""Who may remove what a writer staged, where locks do not tell: on file systems that a network shares."""

from pathlib import Path

import pytest

from em_assets.volumes.staging import is_shared_by_a_network, maybe_in_use_elsewhere

MOUNTS = """\
/dev/vda / ext4 rw,relatime 0 0
tmpfs /dev/shm tmpfs rw 0 0
filer:/vol /net/lab nfs4 rw,vers=4.2 0 0
/dev/sdb /net/lab/scratch xfs rw 0 0
sshfs /home/me/far\\040away fuse.sshfs rw 0 0
filer:/old /mnt/twice nfs rw 0 0
/dev/sdc /mnt/twice ext4 rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "is_shared"),
    [
        ("/data/store", False),
        ("/net/lab", True),
        ("/net/lab/store/volumes", True),
        ("/net/laboratory", False),
        ("/net/lab/scratch/store", False),
        ("/home/me/far away/store", True),
        ("/mnt/twice/store", False),
    ],
)
def test_the_innermost_and_last_mount_says_whether_a_folder_is_shared(path: str, is_shared: bool) -> None:
    assert is_shared_by_a_network(Path(path), MOUNTS) == is_shared


def test_on_a_disk_of_this_machine_the_lock_tells(tmp_path: Path) -> None:
    assert not maybe_in_use_elsewhere(tmp_path)
