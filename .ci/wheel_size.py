"""What a wheel weighs that pip would install, in MB, before any of it has come: `python wheel_size.py torch==2.13.0`.

Only pip knows which wheel that is, from its own settings, indexes and folders. It says the size as it begins to
download; then it is stopped. A wheel in a folder it takes as it is.
"""

import re
import subprocess
import sys
from pathlib import Path

UNITS = {"bytes": 1e-6, "kB": 1e-3, "MB": 1.0, "GB": 1e3}
FROM_AN_INDEX = re.compile(r"(?:Downloading|Using cached) \S+\.whl \((?P<number>[\d.]+) (?P<unit>bytes|kB|MB|GB)\)")
FROM_A_FOLDER = re.compile(r"Processing (?P<path>.+\.whl)")


def wheel_megabytes(requirement: str) -> float:
    """Size of the wheel of `requirement`, without what that needs."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", requirement]
    said = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            said.append(line)
            if found := FROM_AN_INDEX.search(line):
                pip.terminate()
                return float(found["number"]) * UNITS[found["unit"]]
            if found := FROM_A_FOLDER.search(line):
                return Path(found["path"]).stat().st_size / 1e6
    sys.exit(f"pip names no wheel for {requirement}:\n{''.join(said)}")


if __name__ == "__main__":
    sys.stdout.write(f"{wheel_megabytes(sys.argv[1]):.0f}\n")
